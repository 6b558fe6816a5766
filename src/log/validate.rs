//! What a leader checks in a batch, and what it changes: Kafka's `LogValidator`.

use std::fmt;

use crate::config::LogConfig;
use crate::error::ErrorCode;
use crate::log::AppendOrigin;
use crate::record::{BatchHeader, RecordBatch, RecordError};
use crate::types::{CompressionType, NO_TIMESTAMP, ProducerId, TimestampType};

/// The rule that a batch breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// Larger than `max.message.bytes`.
    MessageTooLarge { size: usize, limit: u32 },
    /// Larger than `segment.bytes`.
    RecordListTooLarge { size: usize, limit: u32 },
    /// A record's timestamp is too far from now: `message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`.
    TimestampOutOfRange { index: usize, timestamp: i64, earliest: i64, latest: i64 },
    /// Marked with LogAppendTime, where the leader stamps.
    TimestampType,
    /// A record without a key, where `cleanup.policy` has `compact`.
    NullKey { index: usize },
    /// The header contradicts itself or says what a client may not say.
    Header(&'static str),
    /// The records are not what the header says, or their codec fails.
    Record(RecordError),
}

impl Rejection {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::MessageTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::TimestampOutOfRange { .. } | Self::TimestampType => ErrorCode::InvalidTimestamp,
            // The bytes are what the producer sent, for the CRC was right: not corrupt, but wrong from the start.
            Self::NullKey { .. } | Self::Header(_) | Self::Record(RecordError::Malformed(_)) => {
                ErrorCode::InvalidRecord
            }
            Self::Record(reason) => reason.code(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageTooLarge { size, limit } => {
                write!(f, "{size} bytes are more than max.message.bytes ({limit})")
            }
            Self::RecordListTooLarge { size, limit } => write!(f, "{size} bytes are more than segment.bytes ({limit})"),
            Self::TimestampOutOfRange { index, timestamp, earliest, latest } => {
                write!(f, "timestamp {timestamp} of record {index} is outside {earliest}..={latest}")
            }
            Self::TimestampType => f.write_str("a producer must not set the timestamp type LogAppendTime"),
            Self::NullKey { index } => write!(f, "record {index} has no key, which a compacted topic needs"),
            Self::Header(what) => f.write_str(what),
            Self::Record(reason) => reason.fmt(f),
        }
    }
}

/// Checks a batch before it is appended, and turns it into what is appended: the topic's timestamp type and codec.
///
/// A trusted batch costs a few comparisons, unless a setting of the topic concerns single records.
#[inline]
pub(super) fn validate(
    batch: &mut RecordBatch,
    config: &LogConfig,
    origin: AppendOrigin,
    now_ms: i64,
) -> Result<(), Rejection> {
    check_size(batch, config)?;
    let trusted = origin != AppendOrigin::Client { trusted: false };
    let by_create_time = config.timestamp_type == TimestampType::CreateTime;
    if !trusted {
        check_header(batch)?;
        if !by_create_time && batch.header().timestamp_type() == TimestampType::LogAppendTime {
            return Err(Rejection::TimestampType);
        }
    }
    let bounds = TimestampBounds {
        earliest: if by_create_time { now_ms.saturating_sub(config.timestamp_before_max_ms) } else { i64::MIN },
        latest: if by_create_time { now_ms.saturating_add(config.timestamp_after_max_ms) } else { i64::MAX },
    };
    // The header tells the latest timestamp but not the earliest.
    let timestamps_in_doubt = batch.header().max_timestamp() > bounds.latest || bounds.earliest > 0;
    if !trusted || config.cleanup_policy.compact || timestamps_in_doubt {
        let max_timestamp = check_records(batch, config.cleanup_policy.compact, &bounds)?;
        if max_timestamp != batch.header().max_timestamp() {
            let mut header = *batch.header();
            header.set_max_timestamp(max_timestamp);
            *batch = RecordBatch::from_parts(header, batch.body().clone());
        }
    }
    if !by_create_time {
        batch.set_log_append_time(now_ms);
    } else if batch.header().timestamp_type() == TimestampType::LogAppendTime {
        // Kafka takes a producer's mark away, too, and so the records' own timestamps count.
        let mut header = *batch.header();
        header.set_attributes(header.attributes() & !BatchHeader::LOG_APPEND_TIME);
        *batch = RecordBatch::from_parts(header, batch.body().clone());
    }
    if let Some(codec) = recompresses_with(batch, config) {
        *batch = batch.recompress(codec, None, RecordBatch::MAX_DECOMPRESSED_SIZE).map_err(Rejection::Record)?;
        check_size(batch, config)?;
    }
    let size = batch.size_in_bytes();
    if size > config.segment_bytes as usize {
        return Err(Rejection::RecordListTooLarge { size, limit: config.segment_bytes });
    }
    Ok(())
}

/// Both inclusive.
struct TimestampBounds {
    earliest: i64,
    latest: i64,
}

/// The topic's codec, if the batch has another. Control batches stay as they are: every broker reads them.
#[inline]
pub(super) fn recompresses_with(batch: &RecordBatch, config: &LogConfig) -> Option<CompressionType> {
    config.compression.filter(|codec| batch.header().compression() != Some(*codec) && !batch.header().is_control())
}

#[inline]
pub(super) fn check_size(batch: &RecordBatch, config: &LogConfig) -> Result<(), Rejection> {
    let (size, limit) = (batch.size_in_bytes(), config.max_message_bytes);
    if size > limit as usize { Err(Rejection::MessageTooLarge { size, limit }) } else { Ok(()) }
}

/// What a client's header may say.
fn check_header(batch: &RecordBatch) -> Result<(), Rejection> {
    let header = batch.header();
    let fault = if header.base_offset() != 0 {
        "base offset is not 0"
    } else if header.last_offset_delta() < 0 {
        "last offset lies before the base offset"
    } else if header.records_count() < 1 {
        "batch without records"
    } else if header.records_count() - 1 != header.last_offset_delta() {
        "record count and offset range disagree"
    } else if header.is_control() {
        "clients may not write control records"
    } else if header.producer_id() != ProducerId::NONE && header.base_sequence() < 0 {
        "producer id without a sequence"
    } else {
        return Ok(());
    };
    Err(Rejection::Header(fault))
}

/// Reads every record. Returns the largest timestamp. Of two kinds of fault it is the timestamp that is told, as in Kafka.
fn check_records(batch: &RecordBatch, keyed: bool, bounds: &TimestampBounds) -> Result<i64, Rejection> {
    let (mut max_timestamp, mut null_key) = (NO_TIMESTAMP, None);
    let mut records = batch.records().map_err(Rejection::Record)?;
    let mut index = 0;
    while let Some(record) = records.next_record() {
        let record = record.map_err(Rejection::Record)?;
        let timestamp = record.timestamp();
        if keyed && record.key().is_none() {
            null_key.get_or_insert(index);
        } else if timestamp != NO_TIMESTAMP && !(bounds.earliest..=bounds.latest).contains(&timestamp) {
            let TimestampBounds { earliest, latest } = *bounds;
            return Err(Rejection::TimestampOutOfRange { index, timestamp, earliest, latest });
        }
        max_timestamp = max_timestamp.max(timestamp);
        index += 1;
    }
    match null_key {
        Some(index) => Err(Rejection::NullKey { index }),
        None => Ok(max_timestamp),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::CleanupPolicy;
    use crate::log::testing::{CLIENT, NOW_MS, WIRE, batch, batch_at, raw_batch, sequenced};
    use crate::record::{ControlRecord, EndTxnMarker, SealOptions};
    use crate::types::ProducerEpoch;

    fn config(change: impl FnOnce(&mut LogConfig)) -> LogConfig {
        let mut config = LogConfig::default();
        change(&mut config);
        config
    }

    #[track_caller]
    fn refused(mut batch: RecordBatch, config: &LogConfig, origin: AppendOrigin) -> Rejection {
        validate(&mut batch, config, origin, NOW_MS).unwrap_err()
    }

    /// The batch after `change` to its header, as it would come from a socket.
    fn forged(batch: &RecordBatch, change: impl FnOnce(&mut BatchHeader)) -> RecordBatch {
        let mut header = *batch.header();
        change(&mut header);
        RecordBatch::from_parts(header, batch.body().clone())
    }

    #[test]
    fn batches_up_to_max_message_bytes() {
        let size = batch(2).size_in_bytes();
        let limit = size as u32;
        assert_eq!(validate(&mut batch(2), &config(|config| config.max_message_bytes = limit), CLIENT, NOW_MS), Ok(()));
        let error = refused(batch(2), &config(|config| config.max_message_bytes = limit - 1), CLIENT);
        assert_eq!(error, Rejection::MessageTooLarge { size, limit: limit - 1 });
        assert_eq!(error.code(), ErrorCode::MessageTooLarge);
        assert_eq!(error.to_string(), format!("{size} bytes are more than max.message.bytes ({})", limit - 1));
    }

    #[test]
    fn batches_up_to_segment_bytes() {
        let size = batch(2).size_in_bytes();
        let limit = size as u32 - 1;
        let error = refused(batch(2), &config(|config| config.segment_bytes = limit), CLIENT);
        assert_eq!(error, Rejection::RecordListTooLarge { size, limit });
        assert_eq!(error.code(), ErrorCode::RecordListTooLarge);
    }

    #[test]
    fn timestamps_within_bounds_of_both_kinds_from_both_origins() {
        let config = config(|config| (config.timestamp_before_max_ms, config.timestamp_after_max_ms) = (100, 10));
        for origin in [CLIENT, WIRE] {
            let inside = [NOW_MS, -1, NOW_MS - 100, NOW_MS + 10];
            assert_eq!(validate(&mut batch_at(&inside), &config, origin, NOW_MS), Ok(()));
            let (earliest, latest) = (NOW_MS - 100, NOW_MS + 10);
            for timestamp in [NOW_MS - 101, NOW_MS + 11] {
                let error = refused(batch_at(&[NOW_MS, timestamp]), &config, origin);
                assert_eq!(error, Rejection::TimestampOutOfRange { index: 1, timestamp, earliest, latest });
                assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
            }
        }
    }

    #[test]
    fn by_default_an_hour_ahead_is_too_late_and_nothing_too_early() {
        let config = LogConfig::default();
        for origin in [CLIENT, WIRE] {
            let hour = 60 * 60 * 1000;
            assert_eq!(validate(&mut batch_at(&[0, NOW_MS + hour]), &config, origin, NOW_MS), Ok(()));
            let error = refused(batch_at(&[NOW_MS + hour + 1, 0]), &config, origin);
            assert!(matches!(error, Rejection::TimestampOutOfRange { index: 0, .. }), "{error}");
        }
    }

    #[test]
    fn log_append_time_replaces_any_timestamp() {
        let config = config(|config| config.timestamp_type = TimestampType::LogAppendTime);
        let mut batch = batch_at(&[5, i64::MAX]);
        validate(&mut batch, &config, WIRE, NOW_MS).unwrap();
        assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
        let mut records = batch.records().unwrap();
        assert_eq!(records.next_record().unwrap().unwrap().timestamp(), NOW_MS);
    }

    #[test]
    fn a_producers_mark_of_log_append_time_is_refused_where_the_leader_stamps() {
        let config = config(|config| config.timestamp_type = TimestampType::LogAppendTime);
        let forged = forged(&batch_at(&[5]), |header| header.set_attributes(8));
        assert_eq!(refused(forged, &config, WIRE), Rejection::TimestampType);
    }

    #[test]
    fn elsewhere_a_producers_mark_of_log_append_time_is_taken_away() {
        let mut batch = forged(&batch_at(&[5, 7]), |header| header.set_attributes(8));
        validate(&mut batch, &LogConfig::default(), WIRE, NOW_MS).unwrap();
        assert_eq!(batch.header().timestamp_type(), TimestampType::CreateTime);
        assert_eq!(batch.header_with_crc().crc(), batch_at(&[5, 7]).header_with_crc().crc());
        let mut records = batch.records().unwrap();
        assert_eq!(records.next_record().unwrap().unwrap().timestamp(), 5);
    }

    /// Found by the differential test: see `tests/it/oracle_found.rs`.
    #[test]
    fn of_two_faults_in_a_batch_the_timestamp_is_told() {
        let config = config(|config| config.cleanup_policy = CleanupPolicy { delete: false, compact: true });
        let too_late = NOW_MS + config.timestamp_after_max_ms + 1;
        let batch = raw_batch(&[(1, None, "v"), (too_late, Some("k"), "v")], SealOptions::default());
        let error = refused(batch, &config, CLIENT);
        assert!(matches!(error, Rejection::TimestampOutOfRange { index: 1, .. }), "{error}");
    }

    #[test]
    fn a_compacted_topic_wants_keys() {
        let config = config(|config| config.cleanup_policy = CleanupPolicy { delete: false, compact: true });
        for origin in [CLIENT, WIRE, AppendOrigin::Coordinator] {
            let batch = raw_batch(&[(1, Some("k"), "v"), (1, None, "v")], SealOptions::default());
            let error = refused(batch, &config, origin);
            assert_eq!((error.code(), error), (ErrorCode::InvalidRecord, Rejection::NullKey { index: 1 }));
        }
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn a_topic_with_a_codec_of_its_own_recompresses() {
        let config = config(|config| config.compression = Some(CompressionType::Lz4));
        let mut batch = batch(100);
        let plain = batch.clone();
        validate(&mut batch, &config, CLIENT, NOW_MS).unwrap();
        assert_eq!(batch.header().compression(), Some(CompressionType::Lz4));
        assert!(batch.size_in_bytes() < plain.size_in_bytes());
        assert_eq!(batch.decompressed_body(1 << 20).unwrap(), plain.body());
        let lz4 = batch.clone();
        validate(&mut batch, &self::config(|config| config.compression = Some(CompressionType::None)), WIRE, NOW_MS)
            .unwrap();
        assert_eq!(batch.body(), plain.body());
        validate(&mut batch, &config, WIRE, NOW_MS).unwrap();
        assert_eq!(batch.body(), lz4.body());
        // The limit counts after compression, and again after recompression.
        let limit = lz4.size_in_bytes() as u32;
        let config = self::config(|config| {
            (config.compression, config.max_message_bytes) = (Some(CompressionType::None), limit);
        });
        let size = plain.size_in_bytes();
        assert_eq!(refused(lz4, &config, CLIENT), Rejection::MessageTooLarge { size, limit });
    }

    #[test]
    fn headers_from_outside_may_not_lie() {
        let config = LogConfig::default();
        let honest = batch(2);
        type Change = fn(&mut BatchHeader);
        let lies: [(Change, &str); 5] = [
            (|header| header.set_base_offset(5), "base offset is not 0"),
            (|header| header.set_last_offset_delta(-1), "last offset lies before the base offset"),
            (|header| header.set_records_count(0), "batch without records"),
            (|header| header.set_records_count(3), "record count and offset range disagree"),
            (|header| header.set_producer(ProducerId(1), ProducerEpoch(0), -1), "producer id without a sequence"),
        ];
        for (lie, fault) in lies {
            let error = refused(forged(&honest, lie), &config, WIRE);
            assert_eq!((error.code(), error), (ErrorCode::InvalidRecord, Rejection::Header(fault)));
        }
        let marker = EndTxnMarker { control: ControlRecord::Commit, coordinator_epoch: 0 };
        let marker = marker.to_batch(NOW_MS, ProducerId(1), ProducerEpoch(0));
        assert_eq!(refused(marker.clone(), &config, WIRE), Rejection::Header("clients may not write control records"));
        assert_eq!(validate(&mut marker.clone(), &config, AppendOrigin::Coordinator, NOW_MS), Ok(()));
    }

    #[test]
    fn records_from_outside_are_read() {
        let honest = sequenced(1, 0, 0, 2);
        let mut body = honest.body().to_vec();
        body[0] = 0x7f;
        let broken = RecordBatch::from_parts(*honest.header(), Bytes::from(body));
        let error = refused(broken, &LogConfig::default(), WIRE);
        assert!(matches!(error, Rejection::Record(RecordError::Malformed(_))), "{error}");
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
    }

    #[test]
    fn a_wrong_max_timestamp_is_corrected() {
        let mut batch = forged(&batch_at(&[10, 30, 20]), |header| header.set_max_timestamp(NOW_MS));
        validate(&mut batch, &LogConfig::default(), WIRE, NOW_MS).unwrap();
        assert_eq!(batch.header().max_timestamp(), 30);
        assert_eq!(RecordBatch::parse(&mut batch.to_bytes()).unwrap().header().max_timestamp(), 30);
    }
}
