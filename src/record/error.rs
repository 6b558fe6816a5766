//! [`RecordError`].

use std::fmt;

use crate::error::ErrorCode;
use crate::types::CompressionType;

/// Why bytes are not a batch, or a batch's body does not hold what its header says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes that the batch needs.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The magic byte is not 2.
    UnsupportedMagic(i8),
    /// The CRC does not match.
    CrcMismatch {
        /// CRC-32C of the bytes.
        computed: u32,
        /// What the header says.
        stored: u32,
    },
    /// Header or records contradict themselves; the text says where.
    Malformed(&'static str),
    /// The attribute bits name no codec.
    UnknownCompression(i16),
    /// The codec's feature is not compiled in.
    CompressionNotBuilt(CompressionType),
    /// The codec refuses the bytes.
    Decompression(CompressionType),
    /// The records would decompress to more bytes than allowed.
    DecompressedTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
}

impl RecordError {
    /// Kafka's code for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
            Self::UnknownCompression(_) | Self::CompressionNotBuilt(_) => ErrorCode::UnsupportedCompressionType,
            Self::DecompressedTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Truncated { .. } | Self::CrcMismatch { .. } | Self::Malformed(_) | Self::Decompression(_) => {
                ErrorCode::CorruptMessage
            }
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, available } => write!(f, "batch of {needed} bytes is cut short at {available}"),
            Self::UnsupportedMagic(magic) => write!(f, "batch has magic {magic}; only 2 is supported"),
            Self::CrcMismatch { computed, stored } => {
                write!(f, "batch is corrupt: stored crc {stored:#010x}, computed crc {computed:#010x}")
            }
            Self::Malformed(what) => write!(f, "batch is malformed: {what}"),
            Self::UnknownCompression(id) => write!(f, "batch has unknown compression codec {id}"),
            Self::CompressionNotBuilt(codec) => {
                write!(f, "batch is compressed with {codec}, and the crate was built without the feature `{codec}`")
            }
            Self::Decompression(codec) => write!(f, "batch does not decompress with {codec}"),
            Self::DecompressedTooLarge { limit } => write!(f, "batch decompresses to more than {limit} bytes"),
        }
    }
}

impl std::error::Error for RecordError {}
