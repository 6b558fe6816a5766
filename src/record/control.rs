//! Control records: transaction markers and the like.
//!
//! Key: `version i16, type i16`. A reader takes a later version for version 0, whose fields later ones keep.

use crate::record::{BatchBuilder, Record, RecordBatch, RecordError, SealOptions};
use crate::types::{NO_SEQUENCE, ProducerEpoch, ProducerId};
use crate::util::block_pool::Block;
use crate::util::codec::{Reader, Writer};

/// The version that is written, of keys and of end markers.
const VERSION: i16 = 0;

/// The type of a control record, from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlRecord {
    /// The transaction of this producer id was aborted.
    Abort,
    /// The transaction of this producer id was committed.
    Commit,
    /// A type without meaning for topics: KRaft's own (2 to 6), or one from the future. Readers pass over it.
    Other(i16),
}

impl ControlRecord {
    /// The type that the key of a record in a control batch names.
    pub fn parse(key: Option<&[u8]>) -> Result<Self, RecordError> {
        const MALFORMED: RecordError = RecordError::Malformed("control record key has no valid version and type");
        let mut key = Reader::new(key.ok_or(MALFORMED)?);
        match (key.i16(), key.i16()) {
            (Ok(VERSION..), Ok(id)) => Ok(Self::from_id(id)),
            _ => Err(MALFORMED),
        }
    }

    /// The type with this number.
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            id => Self::Other(id),
        }
    }

    /// Kafka's number for it.
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }
}

/// The marker that ends a transaction on one partition: key `version i16, type i16`, value `version i16, coordinator epoch i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndTxnMarker {
    pub(crate) control: ControlRecord,
    pub(crate) coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The marker that a record of a control batch is; `None` for other control records.
    pub(crate) fn parse(record: &Record<'_>) -> Result<Option<Self>, RecordError> {
        const MALFORMED: RecordError = RecordError::Malformed("end marker has no valid version and coordinator epoch");
        let control = match ControlRecord::parse(record.key())? {
            ControlRecord::Other(_) => return Ok(None),
            control => control,
        };
        let mut value = Reader::new(record.value().ok_or(MALFORMED)?);
        match (value.i16(), value.i32()) {
            (Ok(VERSION..), Ok(coordinator_epoch)) => Ok(Some(Self { control, coordinator_epoch })),
            _ => Err(MALFORMED),
        }
    }

    /// The batch that a partition appends for it: a control batch of this record alone, in the producer's name.
    #[cfg_attr(
        not(any(test, fuzzing)),
        expect(dead_code, reason = "markers are written by the transaction coordinator, which is not built yet")
    )]
    pub(crate) fn to_batch(self, timestamp: i64, producer: ProducerId, epoch: ProducerEpoch) -> RecordBatch {
        let (mut key, mut value) = (Writer::new(), Writer::new());
        key.i16(VERSION).i16(self.control.id());
        value.i16(VERSION).i32(self.coordinator_epoch);
        let (key, value) = (key.into_bytes(), value.into_bytes());
        let size = BatchBuilder::upper_bound(Some(&key), Some(&value), std::iter::empty());
        let mut builder = BatchBuilder::new(Block::unpooled(size));
        let appended = builder.try_append(timestamp, Some(&key), Some(&value), std::iter::empty());
        assert_eq!(appended, Some(0), "the block is as large as the record needs");
        let options = SealOptions {
            producer: Some((producer, epoch, NO_SEQUENCE)),
            transactional: true,
            control: true,
            ..SealOptions::default()
        };
        builder.seal(options).expect("one record, not compressed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_round_trip() {
        for control in [ControlRecord::Abort, ControlRecord::Commit] {
            let marker = EndTxnMarker { control, coordinator_epoch: 7 };
            let batch = marker.to_batch(1_700_000_000_000, ProducerId(4000), ProducerEpoch(3));
            let header = batch.header();
            assert!(header.is_control() && header.is_transactional());
            assert_eq!((header.producer_id(), header.producer_epoch()), (ProducerId(4000), ProducerEpoch(3)));
            assert_eq!((header.base_sequence(), header.records_count()), (-1, 1));
            let mut records = batch.records().unwrap();
            let record = records.next_record().unwrap().unwrap();
            assert_eq!(record.timestamp(), 1_700_000_000_000);
            assert_eq!(EndTxnMarker::parse(&record), Ok(Some(marker)));
        }
    }

    #[test]
    fn other_types_and_later_versions_are_tolerated() {
        assert_eq!(ControlRecord::parse(Some(&[0, 0, 0, 5])), Ok(ControlRecord::Other(5)));
        assert_eq!(ControlRecord::parse(Some(&[0, 9, 0, 1, 1, 2, 3])), Ok(ControlRecord::Commit));
    }

    #[test]
    fn broken_keys_are_refused() {
        for key in [None, Some(&b""[..]), Some(&[0, 0, 0]), Some(&[0xff, 0xff, 0, 1])] {
            let malformed = RecordError::Malformed("control record key has no valid version and type");
            assert_eq!(ControlRecord::parse(key), Err(malformed), "{key:?}");
        }
    }
}
