//! Small tools without domain logic, below everything else.

pub(crate) mod block_pool;
pub(crate) mod chunk_map;
pub(crate) mod coarse_time;
pub(crate) mod codec;
pub(crate) mod murmur2;
pub(crate) mod prefetch;
pub(crate) mod race;
pub(crate) mod sync;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod trace;
pub(crate) mod varint;
pub(crate) mod wake_list;
