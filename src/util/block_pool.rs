//! [`BlockPool`]: recycled memory for batch bodies.
//!
//! A page touched for the first time costs several times the copy into it, so in steady state bodies must live in
//! memory that was used before. Blocks are drawn here, filled by a producer, frozen into [`Bytes`], and return when the
//! last slice of them is dropped: by retention, or by the slowest reader, whichever comes later.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;

/// A bounded pool of equally sized blocks. Blocks beyond the bound go back to the allocator.
#[derive(Debug)]
pub(crate) struct BlockPool {
    free: ArrayQueue<Vec<u8>>,
    block_size: usize,
}

impl BlockPool {
    /// A pool of blocks of `block_size` bytes that keeps at most `max_blocks` (at least one) unused ones.
    pub(crate) fn new(block_size: usize, max_blocks: usize) -> Arc<Self> {
        Arc::new(Self { free: ArrayQueue::new(max_blocks.max(1)), block_size })
    }

    /// How many blocks lie unused.
    #[cfg(test)]
    pub(crate) fn idle_blocks(&self) -> usize {
        self.free.len()
    }

    /// An empty block with room for `block_size` bytes: a recycled one where there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Block {
        let data = self.free.pop().unwrap_or_else(|| Vec::with_capacity(self.block_size));
        Block { data, filled: 0, home: Some(Arc::clone(self)) }
    }

    fn put_back(&self, data: Vec<u8>) {
        drop(self.free.push(data));
    }
}

/// Memory for one batch body, while it is being filled.
///
/// What earlier batches left in a recycled block stays there, behind what is filled: clearing it would cost as much as
/// the copy into it.
#[derive(Debug)]
pub(crate) struct Block {
    /// Initialised memory, of which the first `filled` bytes mean something.
    data: Vec<u8>,
    filled: usize,
    home: Option<Arc<BlockPool>>,
}

impl Block {
    /// Memory of its own, which no pool takes back: for a record larger than a pool's blocks.
    pub(crate) fn unpooled(capacity: usize) -> Self {
        Self { data: Vec::with_capacity(capacity), filled: 0, home: None }
    }

    /// All initialised memory: what is filled, and old bytes behind it to write over. Extend it up to
    /// [`Block::capacity`], and say with [`Block::set_filled`] how much of it counts.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Says that the first `filled` bytes of the buffer are the body.
    pub(crate) fn set_filled(&mut self, filled: usize) {
        assert!(filled <= self.data.len(), "{filled} bytes of a buffer of {}", self.data.len());
        self.filled = filled;
    }

    /// What is filled.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.data[..self.filled]
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Turns what was filled into shared bytes. A block that is at least half full is shared as it is and returns to its
    /// pool when the last slice is dropped; a smaller filling is copied to memory of its own size, so that a few records
    /// that linger alone do not hold a whole block.
    pub(crate) fn freeze(self) -> Bytes {
        if self.home.is_some() && self.filled * 2 < self.data.capacity() {
            return Bytes::copy_from_slice(self.as_slice());
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.put_back(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(block: &mut Block, bytes: &[u8]) {
        block.buffer().extend_from_slice(bytes);
        block.set_filled(bytes.len());
    }

    #[test]
    fn the_last_slice_returns_the_block() {
        let pool = BlockPool::new(8, 2);
        let mut block = pool.take();
        fill(&mut block, b"abcdef");
        let address = block.as_slice().as_ptr();
        let body = block.freeze();
        let slice = body.slice(1..3);
        drop(body);
        assert_eq!(pool.idle_blocks(), 0);
        assert_eq!(&slice[..], b"bc");
        drop(slice);
        assert_eq!(pool.idle_blocks(), 1);
        let again = pool.take();
        assert_eq!(again.as_slice().as_ptr(), address);
        assert!(again.as_slice().is_empty());
    }

    #[test]
    fn a_small_filling_moves_out_and_returns_the_block_at_once() {
        let pool = BlockPool::new(64, 2);
        let mut block = pool.take();
        fill(&mut block, b"few");
        let body = block.freeze();
        assert_eq!((&body[..], pool.idle_blocks()), (&b"few"[..], 1));
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound() {
        let pool = BlockPool::new(8, 2);
        let blocks: Vec<_> = (0..5).map(|_| pool.take()).collect();
        drop(blocks);
        assert_eq!(pool.idle_blocks(), 2);
    }
}
