//! [`BatchHeader`]: the 61 bytes before a batch's records, as a value.

use crate::record::RecordError;
use crate::types::{CompressionType, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampType};

/// The first 61 bytes of a batch, exactly as Kafka lays them out, big-endian.
///
/// | bytes | field |
/// |---|---|
/// | 0..8 | base offset |
/// | 8..12 | batch length: bytes after this field |
/// | 12..16 | partition leader epoch |
/// | 16 | magic, 2 |
/// | 17..21 | CRC-32C over bytes 21 to the end |
/// | 21..23 | attributes: codec (0-2), timestamp type (3), transactional (4), control (5), delete horizon (6) |
/// | 23..27 | last offset delta |
/// | 27..35 | base timestamp (or the delete horizon) |
/// | 35..43 | max timestamp |
/// | 43..51 | producer id |
/// | 51..53 | producer epoch |
/// | 53..57 | base sequence |
/// | 57..61 | number of records |
///
/// Base offset and leader epoch lie outside the CRC, so a leader assigns both without touching the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader([u8; Self::SIZE]);

impl BatchHeader {
    /// Bytes in a header.
    pub const SIZE: usize = 61;
    /// The only magic that is read and written.
    pub const MAGIC: i8 = 2;
    /// Bytes of base offset and batch length, which the batch length does not count.
    pub(crate) const LOG_OVERHEAD: usize = 12;
    /// Where the CRC-covered range begins.
    pub(crate) const CRC_START: usize = 21;

    /// The attribute bits that hold the codec.
    pub(crate) const COMPRESSION: i16 = 0x07;
    /// The attribute bit of [`TimestampType::LogAppendTime`].
    pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
    /// The attribute bit of a transaction's batches.
    pub(crate) const TRANSACTIONAL: i16 = 0x10;
    /// The attribute bit of control batches.
    pub(crate) const CONTROL: i16 = 0x20;
    /// The attribute bit that makes the base timestamp the delete horizon of tombstones and markers.
    pub(crate) const DELETE_HORIZON: i16 = 0x40;

    pub(crate) fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes as they are stored and sent. The CRC field is only right once the batch's CRC has been computed.
    pub fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    #[inline]
    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.0[at..at + N]);
        field
    }

    #[inline]
    fn put<const N: usize>(&mut self, at: usize, field: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&field);
    }

    /// Offset of the first record (of the record with delta 0, if compaction removed it).
    #[inline]
    pub fn base_offset(&self) -> Offset {
        i64::from_be_bytes(self.field(0))
    }

    /// Bytes after the length field: the size of the batch less 12.
    pub fn batch_length(&self) -> i32 {
        i32::from_be_bytes(self.field(8))
    }

    /// Bytes of the whole batch, header included.
    #[inline]
    pub fn size_in_bytes(&self) -> usize {
        self.batch_length() as usize + Self::LOG_OVERHEAD
    }

    /// Epoch of the leader that appended the batch; -1 before it was appended.
    pub fn partition_leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(self.field(12)))
    }

    /// The format's version, 2.
    pub fn magic(&self) -> i8 {
        self.0[16] as i8
    }

    /// CRC-32C over everything from the attributes on.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.field(17))
    }

    /// The attribute bits.
    #[inline]
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(21))
    }

    /// The codec; `None` for codec bits that Kafka does not use.
    #[inline]
    pub fn compression(&self) -> Option<CompressionType> {
        CompressionType::from_id(self.attributes() & Self::COMPRESSION)
    }

    /// Who set the timestamps.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records, which no consumer sees.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes() & Self::CONTROL != 0
    }

    /// Whether the base timestamp holds the time from which compaction may drop tombstones.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & Self::DELETE_HORIZON != 0
    }

    /// The time, in ms since 1970, from which compaction may drop the batch's tombstones, or its marker (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// Last offset less base offset.
    #[inline]
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(23))
    }

    /// Offset of the last record, inclusive.
    #[inline]
    pub fn last_offset(&self) -> Offset {
        self.base_offset() + i64::from(self.last_offset_delta())
    }

    /// Offset after the last record.
    #[inline]
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// The timestamp, in ms since 1970, that the records' deltas count from.
    #[inline]
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(27))
    }

    /// The largest timestamp, in ms since 1970. With [`TimestampType::LogAppendTime`] that of every record.
    #[inline]
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(35))
    }

    /// The idempotent producer; [`ProducerId::NONE`] for others.
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(i64::from_be_bytes(self.field(43)))
    }

    /// The idempotent producer's epoch.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(i16::from_be_bytes(self.field(51)))
    }

    /// Sequence of the first record; -1 without idempotence.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field(53))
    }

    /// Sequence of the last record; wraps from 2^31-1 to 0. -1 without idempotence.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            -1 => -1,
            base => ((i64::from(base) + i64::from(self.last_offset_delta())) & 0x7fff_ffff) as i32,
        }
    }

    /// How many records the body holds.
    #[inline]
    pub fn records_count(&self) -> i32 {
        i32::from_be_bytes(self.field(57))
    }

    pub(crate) fn set_base_offset(&mut self, offset: Offset) {
        self.put(0, offset.to_be_bytes());
    }

    pub(crate) fn set_batch_length(&mut self, length: i32) {
        self.put(8, length.to_be_bytes());
    }

    /// Sets the batch length for a body of this many bytes. Fails where it does not fit the format's `i32`.
    pub(crate) fn set_body_size(&mut self, bytes: usize) -> Result<(), RecordError> {
        let length = i32::try_from(bytes + Self::SIZE - Self::LOG_OVERHEAD)
            .map_err(|_| RecordError::Malformed("batch is larger than 2 GiB"))?;
        self.set_batch_length(length);
        Ok(())
    }

    pub(crate) fn set_partition_leader_epoch(&mut self, epoch: LeaderEpoch) {
        self.put(12, epoch.0.to_be_bytes());
    }

    pub(crate) fn set_magic(&mut self, magic: i8) {
        self.0[16] = magic as u8;
    }

    pub(crate) fn set_crc(&mut self, crc: u32) {
        self.put(17, crc.to_be_bytes());
    }

    pub(crate) fn set_attributes(&mut self, attributes: i16) {
        self.put(21, attributes.to_be_bytes());
    }

    pub(crate) fn set_last_offset_delta(&mut self, delta: i32) {
        self.put(23, delta.to_be_bytes());
    }

    pub(crate) fn set_base_timestamp(&mut self, timestamp: i64) {
        self.put(27, timestamp.to_be_bytes());
    }

    pub(crate) fn set_max_timestamp(&mut self, timestamp: i64) {
        self.put(35, timestamp.to_be_bytes());
    }

    pub(crate) fn set_producer(&mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) {
        self.put(43, id.0.to_be_bytes());
        self.put(51, epoch.0.to_be_bytes());
        self.put(53, base_sequence.to_be_bytes());
    }

    pub(crate) fn set_records_count(&mut self, count: i32) {
        self.put(57, count.to_be_bytes());
    }
}

impl std::fmt::Debug for BatchHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchHeader")
            .field("offsets", &(self.base_offset()..self.next_offset()))
            .field("leader_epoch", &self.partition_leader_epoch().0)
            .field("crc", &format_args!("{:#010x}", self.crc()))
            .field("attributes", &format_args!("{:#04x}", self.attributes()))
            .field("timestamps", &(self.base_timestamp()..=self.max_timestamp()))
            .field("producer", &(self.producer_id().0, self.producer_epoch().0, self.base_sequence()))
            .field("records", &self.records_count())
            .finish_non_exhaustive()
    }
}
