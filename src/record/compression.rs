//! Codecs, in the framings that Kafka uses.

use bytes::Bytes;

use crate::record::RecordError;
use crate::types::CompressionType;

pub(super) fn compress(codec: CompressionType, level: Option<i32>, records: &[u8]) -> Result<Bytes, RecordError> {
    let _ = (level, records);
    Err(RecordError::CompressionNotBuilt(codec))
}

pub(super) fn decompress(codec: CompressionType, body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    let _ = (body, limit);
    Err(RecordError::CompressionNotBuilt(codec))
}
