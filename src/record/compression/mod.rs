//! Codecs, in the framings that Kafka uses: between the records of a batch and the body that holds them compressed.
//!
//! 1. No more than the caller's limit of uncompressed bytes is ever returned, and decompression stops once it is passed.
//! 2. What bytes claim about their own uncompressed size is believed only as far as the codec could have achieved it, so
//!    a few bytes never make anybody allocate much.
//! 3. Checksums inside a frame are left alone where checking them would cost: the batch's CRC covers the whole body.

#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;

use bytes::Bytes;

use crate::record::RecordError;
use crate::types::CompressionType;

/// Compresses the records of one batch.
///
/// `level` is the codec's own; `None` is Kafka's default: -1 (the library's own, 6) for gzip, 3 for zstd. Levels beyond
/// the codec's range count as its nearest. Snappy has no levels, and the LZ4 in pure Rust has only the fast one, which
/// is what Kafka uses by default.
#[cfg_attr(
    not(any(feature = "gzip", feature = "zstd")),
    expect(unused_variables, reason = "the others have no levels")
)]
pub(super) fn compress(codec: CompressionType, level: Option<i32>, records: &[u8]) -> Result<Bytes, RecordError> {
    match codec {
        CompressionType::None => Ok(Bytes::copy_from_slice(records)),
        #[cfg(feature = "gzip")]
        CompressionType::Gzip => Ok(gzip::compress(level, records)),
        #[cfg(feature = "snappy")]
        CompressionType::Snappy => Ok(snappy::compress(records)),
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => Ok(lz4::compress(records)),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => Ok(zstandard::compress(level, records)),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        _ => Err(RecordError::CompressionNotBuilt(codec)),
    }
}

/// The records that a body holds, at most `limit` bytes of them.
pub(super) fn decompress(codec: CompressionType, body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    match codec {
        CompressionType::None if body.len() > limit => Err(RecordError::DecompressedTooLarge { limit }),
        CompressionType::None => Ok(Bytes::copy_from_slice(body)),
        #[cfg(feature = "gzip")]
        CompressionType::Gzip => gzip::decompress(body, limit),
        #[cfg(feature = "snappy")]
        CompressionType::Snappy => snappy::decompress(body, limit),
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => lz4::decompress(body, limit),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => zstandard::decompress(body, limit),
        #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
        _ => Err(RecordError::CompressionNotBuilt(codec)),
    }
}

/// Reads a decoder to its end, or until it passes the limit.
#[cfg(any(feature = "gzip", feature = "zstd"))]
fn read_to_end(
    codec: CompressionType,
    decoder: impl std::io::Read,
    body_size: usize,
    limit: usize,
) -> Result<Bytes, RecordError> {
    use std::io::Read;

    // Records rarely shrink to less than a quarter; where they do, the buffer grows as they arrive.
    let mut records = Vec::with_capacity((body_size * 4).min(limit));
    decoder.take(limit as u64 + 1).read_to_end(&mut records).map_err(|_| RecordError::Decompression(codec))?;
    if records.len() > limit { Err(RecordError::DecompressedTooLarge { limit }) } else { Ok(records.into()) }
}

#[cfg(feature = "gzip")]
mod gzip {
    use std::io::Write;

    use bytes::Bytes;
    use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

    use crate::record::RecordError;
    use crate::types::CompressionType;

    /// Kafka's `compression.gzip.level` for "the library's own".
    const DEFAULT_LEVEL: i32 = -1;

    pub(super) fn compress(level: Option<i32>, records: &[u8]) -> Bytes {
        let level = match level {
            None | Some(DEFAULT_LEVEL) => Compression::default(),
            Some(level) => Compression::new(level.clamp(1, 9) as u32),
        };
        let mut encoder = GzEncoder::new(Vec::with_capacity(records.len() / 2), level);
        encoder.write_all(records).and_then(|()| encoder.finish()).expect("a Vec takes every byte").into()
    }

    /// Members that stand one behind the other count as one, as in Java.
    pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
        super::read_to_end(CompressionType::Gzip, MultiGzDecoder::new(body), body.len(), limit)
    }
}

/// Not `zstd`: that is the crate's name.
#[cfg(feature = "zstd")]
mod zstandard {
    use bytes::Bytes;

    use crate::record::RecordError;
    use crate::types::CompressionType;

    /// Kafka's default of `compression.zstd.level`.
    const DEFAULT_LEVEL: i32 = 3;

    pub(super) fn compress(level: Option<i32>, records: &[u8]) -> Bytes {
        zstd::bulk::compress(records, level.unwrap_or(DEFAULT_LEVEL))
            .expect("zstd clamps levels, and the buffer is as large as it asks for")
            .into()
    }

    /// The decoder refuses windows of more than 128 MiB by itself.
    pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
        let codec = CompressionType::Zstd;
        let decoder = zstd::Decoder::with_buffer(body).map_err(|_| RecordError::Decompression(codec))?;
        super::read_to_end(codec, decoder, body.len(), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4"))]
    const BUILT: [CompressionType; 3] = [CompressionType::Gzip, CompressionType::Snappy, CompressionType::Lz4];

    #[cfg(any(feature = "gzip", feature = "zstd"))]
    fn text(size: usize) -> Vec<u8> {
        (0..size).map(|index| b"the quick brown fox "[index % 20] ^ (index / 1000) as u8).collect()
    }

    #[test]
    #[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4"))]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn every_codec_round_trips_around_its_block_sizes() {
        for codec in BUILT {
            for size in [0, 1, 12, 13, 14, 100, 32 << 10, (32 << 10) + 1, 64 << 10, (64 << 10) + 1, 300_000] {
                let records = text(size);
                let body = compress(codec, None, &records).unwrap();
                assert_eq!(decompress(codec, &body, size).unwrap(), records, "{codec} {size}");
                if size > 0 {
                    let limit = size - 1;
                    let refused = Err(RecordError::DecompressedTooLarge { limit });
                    assert_eq!(decompress(codec, &body, limit), refused, "{codec} {size}");
                }
            }
        }
    }

    #[test]
    #[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4"))]
    fn incompressible_bytes_round_trip() {
        let mut random = fastrand::Rng::with_seed(1);
        let records: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(200_000).collect();
        for codec in BUILT {
            let body = compress(codec, None, &records).unwrap();
            assert!(body.len() < records.len() + 1000, "{codec}: {}", body.len());
            assert_eq!(decompress(codec, &body, records.len()).unwrap(), records, "{codec}");
        }
    }

    #[test]
    #[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4"))]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn every_cut_is_refused() {
        for codec in BUILT {
            let body = compress(codec, None, &text(70_000)).unwrap();
            for end in (0..body.len()).step_by(7).chain(body.len().saturating_sub(20)..body.len()) {
                let result = decompress(codec, &body[..end], 1 << 20);
                // A cut between two blocks of Snappy's framing, which has no end mark, leaves a whole stream.
                match (codec, result) {
                    (CompressionType::Snappy, Ok(records)) => assert!(records.len() < 70_000),
                    (_, result) => assert_eq!(result, Err(RecordError::Decompression(codec)), "{codec} {end}"),
                }
            }
        }
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn gzip_levels_are_kafkas() {
        let records = text(100_000);
        let size = |level| compress(CompressionType::Gzip, level, &records).unwrap().len();
        assert!(size(Some(9)) <= size(Some(1)));
        assert_eq!(size(None), size(Some(-1)));
        assert_eq!(size(Some(9)), size(Some(100)));
    }

    #[test]
    #[cfg(feature = "zstd")]
    fn zstd_round_trips_and_is_bounded() {
        let records = text(300_000);
        for level in [None, Some(-5), Some(1), Some(19)] {
            let body = compress(CompressionType::Zstd, level, &records).unwrap();
            assert_eq!(decompress(CompressionType::Zstd, &body, 300_000).unwrap(), records);
            let refused = Err(RecordError::DecompressedTooLarge { limit: 299_999 });
            assert_eq!(decompress(CompressionType::Zstd, &body, 299_999), refused);
            let cut = decompress(CompressionType::Zstd, &body[..body.len() - 1], 300_000);
            assert_eq!(cut, Err(RecordError::Decompression(CompressionType::Zstd)));
        }
    }

    #[test]
    #[cfg(not(feature = "zstd"))]
    fn a_codec_that_is_not_built_says_so() {
        let refused = Err(RecordError::CompressionNotBuilt(CompressionType::Zstd));
        assert_eq!(compress(CompressionType::Zstd, None, b"x"), refused);
        assert_eq!(decompress(CompressionType::Zstd, b"x", 10), refused);
    }
}
