//! Snappy in the framing of `xerial/snappy-java`, which is what Kafka's clients write.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00, version i32 = 1, least compatible version i32 = 1,
//! then blocks to the end: compressed size i32, one raw Snappy block of up to 32 KiB of records
//! ```
//!
//! Bytes that do not begin with the magic are one raw Snappy block, as some other clients write them.

use bytes::Bytes;

use crate::record::RecordError;
use crate::types::CompressionType;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// What snappy-java writes, for version and least compatible version.
const VERSION: [u8; 4] = 1i32.to_be_bytes();
const HEADER_SIZE: usize = MAGIC.len() + 2 * VERSION.len();
/// Records in one block: snappy-java's default, which Kafka does not change.
const BLOCK_SIZE: usize = 32 << 10;
/// No three bytes of Snappy (the most effective element) stand for more than 64.
const MAX_EXPANSION: usize = 22;

const CORRUPT: RecordError = RecordError::Decompression(CompressionType::Snappy);

pub(super) fn compress(records: &[u8]) -> Bytes {
    let mut encoder = snap::raw::Encoder::new();
    let mut body = Vec::with_capacity(HEADER_SIZE + records.len() / 2);
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&VERSION);
    body.extend_from_slice(&VERSION);
    for block in records.chunks(BLOCK_SIZE) {
        let size_at = body.len();
        let start = size_at + 4;
        body.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder.compress(block, &mut body[start..]).expect("the output is as large as the encoder asks for");
        body[size_at..start].copy_from_slice(&(size as i32).to_be_bytes());
        body.truncate(start + size);
    }
    body.into()
}

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    let mut decoder = snap::raw::Decoder::new();
    let mut records = Vec::new();
    if !body.starts_with(&MAGIC) {
        decompress_block(&mut decoder, body, &mut records, limit)?;
        return Ok(records.into());
    }
    let mut rest = body;
    while !rest.is_empty() {
        // Streams may stand one behind the other, each with its header.
        if rest.starts_with(&MAGIC) {
            rest = rest.get(HEADER_SIZE..).ok_or(CORRUPT)?;
            continue;
        }
        let (size, behind) = rest.split_first_chunk().ok_or(CORRUPT)?;
        let (block, behind) = usize::try_from(i32::from_be_bytes(*size))
            .ok()
            .and_then(|size| behind.split_at_checked(size))
            .ok_or(CORRUPT)?;
        decompress_block(&mut decoder, block, &mut records, limit)?;
        rest = behind;
    }
    Ok(records.into())
}

fn decompress_block(
    decoder: &mut snap::raw::Decoder,
    block: &[u8],
    records: &mut Vec<u8>,
    limit: usize,
) -> Result<(), RecordError> {
    let size = snap::raw::decompress_len(block).map_err(|_| CORRUPT)?;
    if size > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(CORRUPT);
    }
    let start = records.len();
    if size > limit - start {
        return Err(RecordError::DecompressedTooLarge { limit });
    }
    records.resize(start + size, 0);
    decoder.decompress(block, &mut records[start..]).map_err(|_| CORRUPT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_blocks_are_read_too() {
        let raw = snap::raw::Encoder::new().compress_vec(b"some records some records").unwrap();
        assert_eq!(&decompress(&raw, 25).unwrap()[..], b"some records some records");
        assert_eq!(decompress(&raw, 24), Err(RecordError::DecompressedTooLarge { limit: 24 }));
    }

    #[test]
    fn streams_one_behind_the_other_are_one() {
        let twice = [&compress(b"one")[..], &compress(b"two")[..]].concat();
        assert_eq!(&decompress(&twice, 6).unwrap()[..], b"onetwo");
    }

    #[test]
    fn a_claimed_size_is_not_believed() {
        // The preamble says 127 MiB; no Snappy block of a few bytes can hold as much.
        let bomb = [0x80, 0x80, 0xc0, 0x3f, 0x00, b'a'];
        assert_eq!(snap::raw::decompress_len(&bomb).unwrap(), 127 << 20);
        assert_eq!(decompress(&bomb, 128 << 20), Err(CORRUPT));
    }

    #[test]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn the_most_effective_block_is_within_the_bound() {
        for size in [1, 64, 1000, 65_536, 1 << 20] {
            let raw = snap::raw::Encoder::new().compress_vec(&vec![0; size]).unwrap();
            assert_eq!(decompress(&raw, size).unwrap().len(), size);
        }
    }
}
