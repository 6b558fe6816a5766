//! The LZ4 frame format, written as Kafka's clients write it: independent blocks of 64 KiB, no checksums, no content size.
//!
//! ```text
//! magic u32 = 0x184d2204, flags u8, block size u8, [content size u64], header checksum u8,
//! then blocks to an end mark of 0: size u32 (top bit: stored as it is), bytes, [checksum u32]
//! [content checksum u32]
//! ```
//!
//! All numbers little-endian. Frames with any flags are read, but for those that need a dictionary.

use bytes::Bytes;
use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict, get_maximum_output_size,
};

use crate::record::RecordError;
use crate::types::CompressionType;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// Version 1, independent blocks; 64 KiB; the header checksum of these two bytes.
const DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const BLOCK_SIZE: usize = 64 << 10;
/// The top bit of a block's size: it is not compressed.
const STORED: u32 = 1 << 31;
/// How far back a block that is not independent may refer.
const WINDOW_SIZE: usize = 64 << 10;
/// One byte of LZ4 extends a match by at most as much.
const MAX_EXPANSION: usize = 255;

const CORRUPT: RecordError = RecordError::Decompression(CompressionType::Lz4);

pub(super) fn compress(records: &[u8]) -> Bytes {
    let mut table = CompressTable::default();
    let mut body = Vec::with_capacity(MAGIC.len() + DESCRIPTOR.len() + records.len() / 2);
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&DESCRIPTOR);
    for block in records.chunks(BLOCK_SIZE) {
        let size_at = body.len();
        let start = size_at + 4;
        body.resize(start + get_maximum_output_size(block.len()), 0);
        let size = compress_into_with_table(block, &mut body[start..], &mut table)
            .expect("the output is as large as the encoder asks for");
        if size < block.len() {
            body.truncate(start + size);
            body[size_at..start].copy_from_slice(&(size as u32).to_le_bytes());
        } else {
            body.truncate(size_at);
            body.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
            body.extend_from_slice(block);
        }
    }
    body.extend_from_slice(&0u32.to_le_bytes());
    body.into()
}

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    let (frame, mut rest) = Frame::parse(body).ok_or(CORRUPT)?;
    let mut records = Vec::new();
    loop {
        let size = u32::from_le_bytes(*take(&mut rest).ok_or(CORRUPT)?);
        if size == 0 {
            break;
        }
        let (block, behind) = rest.split_at_checked((size & !STORED) as usize).ok_or(CORRUPT)?;
        rest = behind;
        if frame.block_checksums {
            take::<4>(&mut rest).ok_or(CORRUPT)?;
        }
        if size & STORED == 0 {
            frame.decompress_block(block, &mut records)?;
        } else if block.len() <= frame.max_block_size {
            records.extend_from_slice(block);
        } else {
            return Err(CORRUPT);
        }
        if records.len() > limit {
            return Err(RecordError::DecompressedTooLarge { limit });
        }
    }
    let checksum_size = if frame.content_checksum { 4 } else { 0 };
    if rest.len() == checksum_size { Ok(records.into()) } else { Err(CORRUPT) }
}

/// What a frame's descriptor says about its blocks.
struct Frame {
    independent_blocks: bool,
    block_checksums: bool,
    content_checksum: bool,
    max_block_size: usize,
}

impl Frame {
    /// `None` where the bytes do not begin with a frame. Also returns what stands behind the descriptor.
    fn parse(mut body: &[u8]) -> Option<(Self, &[u8])> {
        let [flags, block_size] = match take(&mut body)? {
            &MAGIC => *take(&mut body)?,
            _ => return None,
        };
        // Version 1; the reserved bits unset; no dictionary.
        if flags & 0b1100_0011 != 0b0100_0000 || block_size & 0b1000_1111 != 0 {
            return None;
        }
        let max_block_size = match block_size >> 4 {
            id @ 4..=7 => 1 << (8 + 2 * id),
            _ => return None,
        };
        if flags & 0b1000 != 0 {
            // The content's size, which is found out anyway.
            take::<8>(&mut body)?;
        }
        let [_header_checksum] = take(&mut body)?;
        let frame = Self {
            independent_blocks: flags & 0b10_0000 != 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            max_block_size,
        };
        Some((frame, body))
    }

    fn decompress_block(&self, block: &[u8], records: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = records.len();
        records.resize(start + self.max_block_size.min(block.len() * MAX_EXPANSION), 0);
        let (before, output) = records.split_at_mut(start);
        let size = if self.independent_blocks {
            decompress_into(block, output)
        } else {
            decompress_into_with_dict(block, output, &before[start.saturating_sub(WINDOW_SIZE)..])
        };
        records.truncate(start + size.map_err(|_| CORRUPT)?);
        Ok(())
    }
}

fn take<'a, const N: usize>(input: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of 28 bytes in two blocks, the second of which refers to the first; with block checksums, content size
    /// and content checksum (which are not checked: the batch's CRC covers them).
    fn linked_frame() -> Vec<u8> {
        let mut frame = MAGIC.to_vec();
        frame.extend([0b0101_1100, 0x40]);
        frame.extend(28u64.to_le_bytes());
        frame.push(0);
        frame.extend((12 | STORED).to_le_bytes());
        frame.extend(b"abcdefghijkl");
        frame.extend([0; 4]);
        // No literals, a match of 4 + 7 bytes 12 back; then five literals.
        let block = [0x07, 12, 0, 0x50, b'v', b'w', b'x', b'y', b'z'];
        frame.extend((block.len() as u32).to_le_bytes());
        frame.extend(block);
        frame.extend([0; 4]);
        frame.extend([0; 4]);
        frame.extend([0; 4]);
        frame
    }

    #[test]
    fn frames_with_all_options_are_read() {
        assert_eq!(&decompress(&linked_frame(), 28).unwrap()[..], b"abcdefghijklabcdefghijkvwxyz");
        assert_eq!(decompress(&linked_frame(), 27), Err(RecordError::DecompressedTooLarge { limit: 27 }));
    }

    #[test]
    fn independent_blocks_do_not_see_each_other() {
        let mut frame = linked_frame();
        frame[4] |= 0b10_0000;
        assert_eq!(decompress(&frame, 28), Err(CORRUPT));
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        for (at, value) in [(0, 0), (4, 0x20), (4, 0x61), (4, 0x62), (5, 0x30), (5, 0xc0), (5, 0x41)] {
            let mut body = compress(b"records").to_vec();
            body[at] = value;
            assert_eq!(decompress(&body, 100), Err(CORRUPT), "byte {at} = {value:#x}");
        }
        let behind = [&compress(b"records")[..], b"x"].concat();
        assert_eq!(decompress(&behind, 100), Err(CORRUPT));
    }

    #[test]
    #[cfg_attr(miri, ignore = "megabytes, byte by byte")]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = compress(&vec![0; 16 << 20]);
        assert!(bomb.len() < 70_000);
        assert_eq!(decompress(&bomb, 1 << 20), Err(RecordError::DecompressedTooLarge { limit: 1 << 20 }));
    }
}
