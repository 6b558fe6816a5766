//! [`RecordBatch`]: a header and shared bytes.

use bytes::{Buf, Bytes};

use crate::record::record::MIN_RECORD_SIZE;
use crate::record::{BatchHeader, RecordError, Records, compression};
use crate::types::{CompressionType, LeaderEpoch, Offset};

/// Bytes up to and including the magic, which say how to read the rest.
const SIZE_UP_TO_MAGIC: usize = 17;

/// One batch: a header value and shared body bytes (the records, compressed if the header says so).
#[derive(Clone, Debug)]
pub struct RecordBatch {
    header: BatchHeader,
    /// Whether `header.crc` is still to be computed: batches made in this process are summed only when they leave it.
    crc_pending: bool,
    body: Bytes,
}

impl RecordBatch {
    /// The most that the records of one batch may take uncompressed before they are refused as a decompression bomb:
    /// 128 MiB, more than a hundred times the default `max.message.bytes`.
    pub const MAX_DECOMPRESSED_SIZE: usize = 128 << 20;

    /// Splits one batch off the front of `input`, after checking length, magic and CRC and that header fields agree.
    /// `input` then starts after it, and is untouched on an error. Nothing is copied: the body is a slice of `input`.
    pub fn parse(input: &mut Bytes) -> Result<Self, RecordError> {
        let available = input.len();
        if available < SIZE_UP_TO_MAGIC {
            return Err(RecordError::Truncated { needed: BatchHeader::SIZE, available });
        }
        let magic = input[SIZE_UP_TO_MAGIC - 1] as i8;
        if magic != BatchHeader::MAGIC {
            return Err(RecordError::UnsupportedMagic(magic));
        }
        let Some(header) = input.first_chunk() else {
            return Err(RecordError::Truncated { needed: BatchHeader::SIZE, available });
        };
        let header = BatchHeader::from_bytes(*header);
        if header.batch_length() < (BatchHeader::SIZE - BatchHeader::LOG_OVERHEAD) as i32 {
            return Err(RecordError::Malformed("batch length is less than a header"));
        }
        let needed = header.size_in_bytes();
        if available < needed {
            return Err(RecordError::Truncated { needed, available });
        }
        let body = input.slice(BatchHeader::SIZE..needed);
        let (computed, stored) = (compute_crc(&header, &body), header.crc());
        if computed != stored {
            return Err(RecordError::CrcMismatch { computed, stored });
        }
        check_header(&header, body.len())?;
        input.advance(needed);
        Ok(Self { header, crc_pending: false, body })
    }

    /// A batch from parts made in this process; the CRC is computed when the batch leaves it.
    pub(crate) fn from_parts(header: BatchHeader, body: Bytes) -> Self {
        debug_assert_eq!(header.size_in_bytes(), BatchHeader::SIZE + body.len());
        Self { header, crc_pending: true, body }
    }

    /// The header. Its CRC field may be pending: see [`RecordBatch::to_bytes`].
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The records' bytes, compressed if the header says so.
    #[inline]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes of the whole batch, header included.
    #[inline]
    pub fn size_in_bytes(&self) -> usize {
        self.header.size_in_bytes()
    }

    /// What a leader assigns on append; neither is covered by the CRC.
    #[inline]
    pub(crate) fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.set_base_offset(base_offset);
        self.header.set_partition_leader_epoch(leader_epoch);
    }

    /// Stamps every record with `now_ms`: `message.timestamp.type=LogAppendTime`.
    pub(crate) fn set_log_append_time(&mut self, now_ms: i64) {
        self.header.set_attributes(self.header.attributes() | BatchHeader::LOG_APPEND_TIME);
        self.header.set_max_timestamp(now_ms);
        self.crc_pending = true;
    }

    /// The header with its CRC computed.
    pub fn header_with_crc(&self) -> BatchHeader {
        let mut header = self.header;
        if self.crc_pending {
            header.set_crc(compute_crc(&header, &self.body));
        }
        header
    }

    /// Header and body as one contiguous piece, CRC computed: byte for byte what Kafka stores and sends.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.size_in_bytes());
        bytes.extend_from_slice(self.header_with_crc().as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes.into()
    }

    /// The body with its records uncompressed; shares the body where it is not compressed.
    /// Refuses to produce more than `limit` bytes.
    pub(crate) fn decompressed_body(&self, limit: usize) -> Result<Bytes, RecordError> {
        match self.compression()? {
            CompressionType::None => Ok(self.body.clone()),
            codec => compression::decompress(codec, &self.body, limit),
        }
    }

    /// The same batch with its records compressed as `target` says: what a leader does whose topic's `compression.type`
    /// is not the producer's. `level` as in the topic's `compression.<codec>.level`; `None` for Kafka's default.
    ///
    /// Records keep their bytes, so nothing else changes but length and CRC. Where the batch is compressed that way
    /// already it is shared as it is, whatever the level. Refuses to decompress to more than `limit` bytes.
    pub fn recompress(&self, target: CompressionType, level: Option<i32>, limit: usize) -> Result<Self, RecordError> {
        if self.compression()? == target {
            return Ok(self.clone());
        }
        let records = self.decompressed_body(limit)?;
        let body = match target {
            CompressionType::None => records,
            _ => compression::compress(target, level, &records)?,
        };
        let mut header = self.header;
        header.set_attributes(header.attributes() & !BatchHeader::COMPRESSION | target.id());
        header.set_body_size(body.len())?;
        Ok(Self::from_parts(header, body))
    }

    pub(super) fn compression(&self) -> Result<CompressionType, RecordError> {
        self.header
            .compression()
            .ok_or(RecordError::UnknownCompression(self.header.attributes() & BatchHeader::COMPRESSION))
    }

    /// Checks every record: lengths, offset deltas 0, 1, 2 ..., header keys in UTF-8. What a leader does for batches from
    /// outside.
    pub fn validate_records(&self) -> Result<(), RecordError> {
        if self.header.records_count() < 1 || self.header.last_offset_delta() != self.header.records_count() - 1 {
            return Err(RecordError::Malformed("record count and last offset delta disagree"));
        }
        // Deltas that ascend strictly, from 0 or more, to at most count - 1 can only be 0, 1, 2 ...
        let mut records = self.records()?;
        while let Some(record) = records.next_record() {
            record?;
        }
        Ok(())
    }

    /// The records, parsed one by one as the iterator advances. Decompresses first, if need be, to at most
    /// [`RecordBatch::MAX_DECOMPRESSED_SIZE`] bytes.
    pub fn records(&self) -> Result<Records, RecordError> {
        let body = self.decompressed_body(Self::MAX_DECOMPRESSED_SIZE)?;
        check_count(&self.header, body.len())?;
        Ok(Records::new(&self.header, body))
    }
}

fn compute_crc(header: &BatchHeader, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header.as_bytes()[BatchHeader::CRC_START..]), body)
}

/// What must hold in a header beyond its CRC. Compaction leaves fewer records than offsets, and may leave none.
fn check_header(header: &BatchHeader, body_size: usize) -> Result<(), RecordError> {
    let Some(compression) = header.compression() else {
        return Err(RecordError::UnknownCompression(header.attributes() & BatchHeader::COMPRESSION));
    };
    if header.last_offset_delta() < 0 {
        return Err(RecordError::Malformed("last offset delta is negative"));
    }
    if header.base_offset().checked_add(i64::from(header.last_offset_delta()) + 1).is_none() {
        return Err(RecordError::Malformed("last offset does not fit 64 bits"));
    }
    if i64::from(header.records_count()) > i64::from(header.last_offset_delta()) + 1 {
        return Err(RecordError::Malformed("more records than offsets"));
    }
    match compression {
        CompressionType::None => check_count(header, body_size),
        _ if header.records_count() < 0 => Err(RecordError::Malformed("record count is negative")),
        _ => Ok(()),
    }
}

/// A count that the body cannot hold must not make anybody allocate or loop.
fn check_count(header: &BatchHeader, body_size: usize) -> Result<(), RecordError> {
    match usize::try_from(header.records_count()) {
        Err(_) => Err(RecordError::Malformed("record count is negative")),
        Ok(count) if count > body_size / MIN_RECORD_SIZE => Err(RecordError::Malformed("more records than bytes hold")),
        Ok(_) => Ok(()),
    }
}
