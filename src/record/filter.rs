//! Batches with fewer records: what compaction makes of them.
//!
//! A rebuilt batch keeps its base offset, last offset, leader epoch, producer and sequences, so that offsets stay as they
//! are and the producer's last batch can still be recognised. Its records keep their bytes and are copied in runs; only a
//! new delete horizon, which takes the place of the base timestamp that they count from (KIP-534), has them encoded anew.

use std::ops::Range;

use bytes::Bytes;

use crate::record::record::{parse_deltas, split_record};
use crate::record::{BatchHeader, Record, RecordBatch, RecordError, compression};
use crate::types::{CompressionType, NO_TIMESTAMP, TimestampType};
use crate::util::varint;

/// What is left of a batch.
struct Remainder {
    /// In the uncompressed body, ascending, not adjoining.
    runs: Vec<Range<usize>>,
    count: usize,
    max_timestamp: i64,
    has_tombstones: bool,
}

impl RecordBatch {
    /// The batch with those records that `keep` says yes to; it is also told their index. `None` if there is no such
    /// record. A batch that keeps all of its records is shared as it is.
    ///
    /// Where a tombstone is kept and the batch has no delete horizon, `delete_horizon_ms` becomes it.
    pub(crate) fn filter(
        &self,
        delete_horizon_ms: i64,
        keep: impl FnMut(usize, &Record<'_>) -> bool,
    ) -> Result<Option<Self>, RecordError> {
        let (body, remainder) = self.select(keep)?;
        let horizon = (remainder.has_tombstones && !self.header().has_delete_horizon()).then_some(delete_horizon_ms);
        if remainder.count == 0 {
            return Ok(None);
        }
        if horizon.is_none() && remainder.count == self.header().records_count() as usize {
            return Ok(Some(self.clone()));
        }
        self.rebuild(&body, &remainder, horizon).map(Some)
    }

    /// As [`RecordBatch::filter`], for a batch without tombstones whose records were all read before: `keep` is told an
    /// index only, and nothing of a record is looked at but its length and, if it stays, its timestamp.
    pub(crate) fn filter_by_index(&self, keep: impl Fn(usize) -> bool) -> Result<Option<Self>, RecordError> {
        let body = self.decompressed_body(Self::MAX_DECOMPRESSED_SIZE)?;
        let append_time = self.header().timestamp_type() == TimestampType::LogAppendTime;
        let mut remainder =
            Remainder { runs: Vec::new(), count: 0, max_timestamp: NO_TIMESTAMP, has_tombstones: false };
        let mut rest = &body[..];
        let mut run = 0..0;
        for index in 0..self.header().records_count() as usize {
            let begin = body.len() - rest.len();
            let mut record = split_record(&mut rest).map_err(RecordError::Malformed)?;
            if !keep(index) {
                continue;
            }
            remainder.count += 1;
            if !append_time {
                let (delta, _) = parse_deltas(&mut record).map_err(RecordError::Malformed)?;
                let timestamp = self.header().base_timestamp().wrapping_add(delta);
                remainder.max_timestamp = remainder.max_timestamp.max(timestamp);
            }
            if run.end != begin {
                let complete = std::mem::replace(&mut run, begin..begin);
                remainder.runs.extend((!complete.is_empty()).then_some(complete));
            }
            run.end = body.len() - rest.len();
        }
        remainder.runs.extend((!run.is_empty()).then_some(run));
        if append_time {
            remainder.max_timestamp = self.header().max_timestamp();
        }
        if remainder.count == 0 { Ok(None) } else { self.rebuild(&body, &remainder, None).map(Some) }
    }

    /// The same records with a delete horizon.
    pub(crate) fn with_delete_horizon(&self, delete_horizon_ms: i64) -> Result<Self, RecordError> {
        let (body, remainder) = self.select(|_, _| true)?;
        self.rebuild(&body, &remainder, Some(delete_horizon_ms))
    }

    /// The batch without records. Its header still says what its producer wrote, and up to which offset.
    pub(crate) fn emptied(&self) -> Self {
        const KEPT: i16 = BatchHeader::LOG_APPEND_TIME | BatchHeader::TRANSACTIONAL | BatchHeader::CONTROL;
        let mut header = *self.header();
        header.set_attributes(header.attributes() & KEPT);
        header.set_base_timestamp(NO_TIMESTAMP);
        header.set_records_count(0);
        header.set_batch_length((BatchHeader::SIZE - BatchHeader::LOG_OVERHEAD) as i32);
        Self::from_parts(header, Bytes::new())
    }

    fn select(&self, mut keep: impl FnMut(usize, &Record<'_>) -> bool) -> Result<(Bytes, Remainder), RecordError> {
        let mut records = self.records()?;
        let mut remainder =
            Remainder { runs: Vec::new(), count: 0, max_timestamp: NO_TIMESTAMP, has_tombstones: false };
        let mut run = 0..0;
        for index in 0.. {
            let begin = records.position();
            let Some(record) = records.next_record() else { break };
            let record = record?;
            if !keep(index, &record) {
                continue;
            }
            remainder.count += 1;
            remainder.max_timestamp = remainder.max_timestamp.max(record.timestamp());
            remainder.has_tombstones |= record.value().is_none();
            let end = records.position();
            if run.end != begin {
                let complete = std::mem::replace(&mut run, begin..end);
                remainder.runs.extend((!complete.is_empty()).then_some(complete));
            } else {
                run.end = end;
            }
        }
        remainder.runs.extend((!run.is_empty()).then_some(run));
        Ok((records.body().clone(), remainder))
    }

    fn rebuild(
        &self,
        body: &Bytes,
        remainder: &Remainder,
        delete_horizon_ms: Option<i64>,
    ) -> Result<Self, RecordError> {
        let mut header = *self.header();
        let records = match delete_horizon_ms {
            None => concat(body, &remainder.runs),
            Some(horizon) => {
                let records = self.encode_anew(body, &remainder.runs, horizon)?;
                header.set_attributes(header.attributes() | BatchHeader::DELETE_HORIZON);
                header.set_base_timestamp(horizon);
                records
            }
        };
        let body = match self.compression()? {
            CompressionType::None => records.into(),
            codec => compression::compress(codec, None, &records)?,
        };
        header.set_max_timestamp(remainder.max_timestamp);
        header.set_records_count(remainder.count as i32);
        header.set_body_size(body.len())?;
        Ok(Self::from_parts(header, body))
    }

    /// The records of `runs` with their timestamps as deltas from `base_timestamp`.
    fn encode_anew(&self, body: &[u8], runs: &[Range<usize>], base_timestamp: i64) -> Result<Vec<u8>, RecordError> {
        /// What a delta may grow by, and the record's length with it.
        const GROWTH: usize = 9 + 1;
        let append_time =
            (self.header().timestamp_type() == TimestampType::LogAppendTime).then(|| self.header().max_timestamp());
        let kept: usize = runs.iter().map(ExactSizeIterator::len).sum();
        let mut encoded = Vec::with_capacity(kept + self.header().records_count() as usize * GROWTH);
        for run in runs {
            let mut rest = &body[run.clone()];
            while !rest.is_empty() {
                let record = split_record(&mut rest).map_err(RecordError::Malformed)?;
                // What stands behind the timestamp is copied.
                let mut fields = record.get(1..).unwrap_or_default();
                let (delta, _) = parse_deltas(&mut &*record).map_err(RecordError::Malformed)?;
                varint::read_i64(&mut fields).ok_or(RecordError::Malformed("record timestamp is cut short"))?;
                let timestamp = append_time.unwrap_or_else(|| self.header().base_timestamp().wrapping_add(delta));
                let delta = varint::zigzag64(timestamp.wrapping_sub(base_timestamp));
                let length = 1 + varint::size_of_u64(delta) + fields.len();
                varint::write_u64(&mut encoded, (length as u64) << 1);
                encoded.push(record[0]);
                varint::write_u64(&mut encoded, delta);
                encoded.extend_from_slice(fields);
            }
        }
        encoded.shrink_to_fit();
        Ok(encoded)
    }
}

fn concat(body: &[u8], runs: &[Range<usize>]) -> Vec<u8> {
    let mut records = Vec::with_capacity(runs.iter().map(ExactSizeIterator::len).sum());
    for run in runs {
        records.extend_from_slice(&body[run.clone()]);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, EndTxnMarker, SealOptions};
    use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
    use crate::util::block_pool::Block;

    const HORIZON: i64 = 1_700_000_000_000;

    /// Records 0..n at timestamps 1000, 1010 ..., at offsets from 40; every third is a tombstone.
    fn batch(count: i64, compression: CompressionType) -> RecordBatch {
        let mut builder = BatchBuilder::new(Block::unpooled(64 << 10));
        for index in 0..count {
            let (key, value) = (format!("key {index}"), format!("value {index}"));
            let value = (index % 3 != 2).then_some(value.as_bytes());
            let header = [("header", Some(&b"of it"[..]))];
            builder.try_append(1_000 + 10 * index, Some(key.as_bytes()), value, header.into_iter()).unwrap();
        }
        let producer = Some((ProducerId(7), ProducerEpoch(1), 5));
        let mut batch =
            builder.seal(SealOptions { producer, transactional: true, compression, ..SealOptions::default() }).unwrap();
        batch.assign(40, LeaderEpoch(3));
        batch
    }

    type Row = (Offset, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn rows(batch: &RecordBatch) -> Vec<Row> {
        // By way of the bytes, so that length, count and CRC are checked.
        let batch = RecordBatch::parse(&mut batch.to_bytes()).unwrap();
        let mut records = batch.records().unwrap();
        std::iter::from_fn(|| {
            let record = records.next_record()?.unwrap();
            let copy = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let headers = record.headers().count();
            Some((record.offset(), record.timestamp(), copy(record.key()), copy(record.value()), headers))
        })
        .collect()
    }

    /// What may not change: everything from the base offset to the sequences but lengths, times and attributes.
    fn identity(batch: &RecordBatch) -> impl PartialEq + std::fmt::Debug + use<> {
        let header = batch.header();
        let producer = (header.producer_id(), header.producer_epoch(), header.base_sequence(), header.last_sequence());
        (
            header.base_offset(),
            header.last_offset(),
            header.partition_leader_epoch(),
            producer,
            header.is_transactional(),
        )
    }

    fn codecs() -> impl Iterator<Item = CompressionType> {
        [CompressionType::None, CompressionType::Lz4, CompressionType::Gzip, CompressionType::Snappy]
            .into_iter()
            .filter(|codec| compression::compress(*codec, None, b"x").is_ok())
    }

    #[test]
    fn kept_records_stay_what_they_are() {
        for codec in codecs() {
            let batch = batch(20, codec);
            let all = rows(&batch);
            for mask in [0b1, 0b1000_0000_0000_0000_0000, 0b1011, 0b0110_0110_0110_0110, 0b1101_1011_0110_1101_1011] {
                let kept = |index: usize| mask >> index & 1 == 1;
                let filtered = batch.filter(HORIZON, |index, _| kept(index)).unwrap().unwrap();
                if filtered.header().delete_horizon().is_none() {
                    let by_index = batch.filter_by_index(kept).unwrap().unwrap();
                    assert_eq!(by_index.to_bytes(), filtered.to_bytes());
                }
                let expected: Vec<_> = (0..20).filter(|&index| kept(index)).map(|index| all[index].clone()).collect();
                assert_eq!(rows(&filtered), expected, "{mask:b}");
                assert_eq!(identity(&filtered), identity(&batch));
                assert_eq!(filtered.header().compression(), Some(codec));
                assert_eq!(filtered.header().max_timestamp(), expected.last().unwrap().1);
                let tombstones = expected.iter().any(|row| row.3.is_none());
                assert_eq!(filtered.header().delete_horizon(), tombstones.then_some(HORIZON), "{mask:b}");
            }
            assert!(batch.filter(HORIZON, |_, _| false).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_kept_whole_is_shared() {
        let plain = batch(2, CompressionType::None);
        let kept = plain.filter(HORIZON, |_, _| true).unwrap().unwrap();
        assert_eq!((kept.body().as_ptr(), kept.header()), (plain.body().as_ptr(), plain.header()));
        // A tombstone needs a horizon; the next time round it has one, and that stays.
        let marked = batch(3, CompressionType::None).filter(HORIZON, |_, _| true).unwrap().unwrap();
        assert_eq!(marked.header().delete_horizon(), Some(HORIZON));
        assert_eq!(rows(&marked), rows(&batch(3, CompressionType::None)));
        let again = marked.filter(HORIZON + 5, |_, _| true).unwrap().unwrap();
        assert_eq!((again.body().as_ptr(), again.header()), (marked.body().as_ptr(), marked.header()));
        let fewer = marked.filter(HORIZON + 5, |index, _| index == 2).unwrap().unwrap();
        assert_eq!(fewer.header().delete_horizon(), Some(HORIZON));
        assert_eq!(rows(&fewer), rows(&marked)[2..]);
    }

    #[test]
    fn an_append_time_stays_that_of_every_record() {
        let mut batch = batch(3, CompressionType::None);
        batch.set_log_append_time(77_777);
        let filtered = batch.filter(HORIZON, |index, _| index > 0).unwrap().unwrap();
        assert_eq!(filtered.header().delete_horizon(), Some(HORIZON));
        assert!(rows(&filtered).iter().all(|row| row.1 == 77_777));
        assert_eq!(filtered.header().max_timestamp(), 77_777);
        let by_index = batch.filter_by_index(|index| index == 1).unwrap().unwrap();
        assert_eq!((rows(&by_index), by_index.header().max_timestamp()), (rows(&batch)[1..2].to_vec(), 77_777));
    }

    #[test]
    fn an_emptied_batch_remembers_its_producer_and_its_offsets() {
        for codec in codecs() {
            let batch = batch(4, codec);
            let emptied = batch.filter(HORIZON, |_, _| true).unwrap().unwrap().emptied();
            assert_eq!(identity(&emptied), identity(&batch));
            let header = emptied.header();
            assert_eq!((emptied.size_in_bytes(), header.records_count()), (BatchHeader::SIZE, 0));
            assert_eq!((header.delete_horizon(), header.compression()), (None, Some(CompressionType::None)));
            assert_eq!(rows(&emptied), []);
            assert_eq!(emptied.emptied().header(), header);
        }
    }

    #[test]
    fn a_marker_gets_its_horizon() {
        let marker = EndTxnMarker { control: crate::record::ControlRecord::Abort, coordinator_epoch: 7 };
        let batch = marker.to_batch(1_234, ProducerId(7), ProducerEpoch(1));
        let marked = batch.with_delete_horizon(HORIZON).unwrap();
        assert_eq!(marked.header().delete_horizon(), Some(HORIZON));
        assert_eq!((rows(&marked), identity(&marked)), (rows(&batch), identity(&batch)));
        assert!(marked.header().is_control());
    }
}
