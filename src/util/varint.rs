//! Variable-length integers as Kafka writes them: base 128, least significant group first; signed ones zig-zag encoded.

/// Encoded length of a zig-zag `i32`, 1 to 5 bytes.
#[cfg(test)]
pub(crate) const fn size_of_i32(value: i32) -> usize {
    size_of_u32(zigzag32(value))
}

/// Encoded length of a zig-zag `i64`, 1 to 10 bytes.
#[cfg(test)]
pub(crate) const fn size_of_i64(value: i64) -> usize {
    size_of_u64(zigzag64(value))
}

/// Encoded length of an unsigned `u32`, 1 to 5 bytes.
#[inline]
pub(crate) const fn size_of_u32(value: u32) -> usize {
    (38 - (value | 1).leading_zeros() as usize) / 7
}

/// Encoded length of an unsigned `u64`, 1 to 10 bytes.
#[inline]
pub(crate) const fn size_of_u64(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
pub(crate) const fn zigzag32(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

#[inline]
pub(crate) const fn zigzag64(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Reads an unsigned varint of at most five bytes from the front of `input` and moves past it.
/// `None` when it is cut short or does not fit in 32 bits.
#[inline(always)]
pub(crate) fn read_u32(input: &mut &[u8]) -> Option<u32> {
    // One and two bytes are what records consist of: lengths, deltas, counts.
    match **input {
        [low, ref rest @ ..] if low < 0x80 => {
            *input = rest;
            Some(u32::from(low))
        }
        [low, high, ref rest @ ..] if high < 0x80 => {
            *input = rest;
            Some(u32::from(low & 0x7f) | u32::from(high) << 7)
        }
        _ => read_long_u32(input),
    }
}

fn read_long_u32(input: &mut &[u8]) -> Option<u32> {
    let bytes = *input;
    let mut value = 0u32;
    let mut index = 0;
    loop {
        let byte = *bytes.get(index)?;
        if index == 4 && byte > 0x0f {
            return None;
        }
        value |= u32::from(byte & 0x7f) << (7 * index);
        index += 1;
        if byte < 0x80 {
            *input = &bytes[index..];
            return Some(value);
        }
    }
}

/// Reads an unsigned varint of at most ten bytes. `None` when it is cut short or does not fit in 64 bits.
#[inline]
pub(crate) fn read_u64(input: &mut &[u8]) -> Option<u64> {
    match **input {
        [low, ref rest @ ..] if low < 0x80 => {
            *input = rest;
            Some(u64::from(low))
        }
        _ => read_long_u64(input),
    }
}

fn read_long_u64(input: &mut &[u8]) -> Option<u64> {
    let bytes = *input;
    let mut value = 0u64;
    let mut index = 0;
    loop {
        let byte = *bytes.get(index)?;
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        index += 1;
        if byte < 0x80 {
            *input = &bytes[index..];
            return Some(value);
        }
    }
}

/// A run of one- and two-byte varints in a register: read without a bounds check each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortReader {
    word: u64,
    size: usize,
}

impl ShortReader {
    /// The first eight bytes of `input`, if there are as many. More than eight must not be read from them.
    #[inline]
    pub(crate) fn new(input: &[u8]) -> Option<Self> {
        Some(Self { word: u64::from_le_bytes(*input.first_chunk()?), size: 0 })
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    pub(crate) fn skip_byte(&mut self) {
        self.word >>= 8;
        self.size += 1;
    }

    /// A zig-zag varint at the start that is a length; `None` if it is negative or has more than two bytes.
    ///
    /// Where the next record starts hangs on this, so it is as short a chain of operations as can be.
    #[inline]
    pub(crate) fn read_length(&mut self) -> Option<usize> {
        let word = self.word;
        if word & 1 != 0 {
            return None;
        }
        let low = (word & 0x7f) >> 1;
        if word & 0x80 == 0 {
            self.skip_byte();
            return Some(low as usize);
        }
        self.word >>= 16;
        self.size += 2;
        (word & 0x8000 == 0).then_some((low | (word & 0x7f00) >> 2) as usize)
    }

    /// The next varint, raw; `None` if it has more than two bytes.
    #[inline]
    pub(crate) fn read(&mut self) -> Option<u32> {
        let low = self.word as u32 & 0x7f;
        if self.word & 0x80 == 0 {
            self.skip_byte();
            return Some(low);
        }
        let high = (self.word >> 8) as u32 & 0xff;
        self.word >>= 16;
        self.size += 2;
        (high < 0x80).then_some(high << 7 | low)
    }
}

/// The signed number that a raw varint stands for.
#[inline]
pub(crate) const fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

/// Reads a zig-zag varint that fits in 32 bits.
#[inline]
pub(crate) fn read_i32(input: &mut &[u8]) -> Option<i32> {
    read_u32(input).map(unzigzag32)
}

/// Reads a zig-zag varint that fits in 64 bits.
#[inline]
pub(crate) fn read_i64(input: &mut &[u8]) -> Option<i64> {
    read_u64(input).map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Appends an unsigned varint.
#[inline]
pub(crate) fn write_u32(output: &mut Vec<u8>, value: u32) {
    write_u64(output, u64::from(value));
}

/// Appends an unsigned varint.
#[inline]
pub(crate) fn write_u64(output: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

/// Appends a zig-zag varint.
#[cfg(test)]
pub(crate) fn write_i32(output: &mut Vec<u8>, value: i32) {
    write_u64(output, u64::from(zigzag32(value)));
}

/// Appends a zig-zag varint.
#[cfg(test)]
pub(crate) fn write_i64(output: &mut Vec<u8>, value: i64) {
    write_u64(output, zigzag64(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_sizes_agree() {
        let interesting = (0..64).flat_map(|shift| {
            let power = 1u64 << shift;
            [power - 1, power, power.wrapping_neg(), !power]
        });
        for value in interesting {
            let mut bytes = Vec::new();
            write_u64(&mut bytes, value);
            assert_eq!(bytes.len(), size_of_u64(value));
            assert_eq!(read_u64(&mut &bytes[..]), Some(value));
            bytes.clear();
            write_i64(&mut bytes, value as i64);
            assert_eq!(bytes.len(), size_of_i64(value as i64));
            assert_eq!(read_i64(&mut &bytes[..]), Some(value as i64));
            bytes.clear();
            write_i32(&mut bytes, value as i32);
            assert_eq!(bytes.len(), size_of_i32(value as i32));
            assert_eq!(read_i32(&mut &bytes[..]), Some(value as i32));
        }
    }

    #[test]
    fn short_ones_are_the_same_in_a_register() {
        for value in (0..1 << 14).step_by(if cfg!(miri) { 61 } else { 1 }) {
            let mut bytes = Vec::new();
            for value in [value, 5, value] {
                write_u64(&mut bytes, value);
            }
            let size = bytes.len();
            bytes.resize(8, 0);
            let mut reader = ShortReader::new(&bytes).unwrap();
            let read = [reader.read(), reader.read(), reader.read()];
            assert_eq!(read, [Some(value as u32), Some(5), Some(value as u32)]);
            assert_eq!(reader.size(), size);
        }
        assert_eq!(ShortReader::new(&[0x80, 0x80, 0x01, 0, 0, 0, 0, 0]).unwrap().read(), None);
        assert!(ShortReader::new(&[0; 7]).is_none());
    }

    #[test]
    fn refuses_cut_and_oversized_input() {
        assert_eq!(read_u32(&mut &[0x80][..]), None);
        assert_eq!(read_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x10][..]), None);
        assert_eq!(read_u32(&mut &[0xff, 0xff, 0xff, 0xff, 0x0f][..]), Some(u32::MAX));
        assert_eq!(read_u64(&mut &[0xff; 10][..]), None);
        assert_eq!(read_u64(&mut &[][..]), None);
    }

    #[test]
    fn known_values() {
        let mut bytes = Vec::new();
        write_i32(&mut bytes, -1);
        write_i32(&mut bytes, 300);
        assert_eq!(bytes, [0x01, 0xd8, 0x04]);
    }
}
