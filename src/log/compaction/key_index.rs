//! [`KeyIndex`]: which records of the dirty section are not their key's last.

/// In place of a position in `keys`: an empty slot, or a key that was not found. Reading there is harmless.
const NONE: u32 = 0;

/// Bytes before a key: the number of its last record, and its length.
const PREFIX: usize = 8;

/// Keys to look for at once. Their memory is asked for before the first of it is needed, so that the waits overlap.
pub(super) const CHUNK: usize = 32;

/// A hash table over keys that lie one behind the other, each with the number of its last record; and a bit for each
/// record that a later one has superseded.
///
/// Numbers count the records of the dirty section, so that whether a record is superseded is a bit to be read, not a key
/// to be looked for. A table's slot is eight bytes: a hash, and where the key lies. The top of the hash says where in the
/// table it belongs, so slots are in order of their hashes, and a table that grows is copied from front to back.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// A power of two of them, at most three quarters in use: a hash in the upper half, and in the lower where in `keys` the
    /// key's prefix begins, or [`NONE`].
    slots: Vec<u64>,
    /// By how much a hash is shifted for the slot that it belongs in.
    shift: u32,
    keys: Vec<u8>,
    count: usize,
    superseded: Vec<u64>,
    records: u32,
    limit_bytes: usize,
    seed: u64,
}

/// A key to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'k> {
    key: &'k [u8],
    hash: u32,
    /// Where its prefix is, if the first look found it.
    found: u32,
    /// The length that the prefix says.
    length: u32,
}

impl<'k> Probe<'k> {
    pub(super) fn new(key: &'k [u8]) -> Self {
        Self { key, hash: 0, found: NONE, length: 0 }
    }
}

impl KeyIndex {
    const FIRST_SLOTS: usize = 1024;

    pub(super) fn new(limit_bytes: usize, seed: u64) -> Self {
        Self {
            slots: vec![0; Self::FIRST_SLOTS],
            shift: shift_for(Self::FIRST_SLOTS),
            // What lies at NONE.
            keys: vec![0; PREFIX],
            count: 0,
            superseded: Vec::new(),
            records: 0,
            // Positions of keys and numbers of records are 32 bits.
            limit_bytes: limit_bytes.min(1 << 31),
            seed,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many records were numbered.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Whether there is room for that many more records with that many bytes of keys, if all of them are new, beside so
    /// many bytes of other things.
    pub(super) fn has_room(&self, records: u32, key_bytes: usize, other_bytes: usize) -> bool {
        let Some(all_records) = self.records.checked_add(records) else { return false };
        let records = records as usize;
        let slots = slots_for(self.count + records).max(self.slots.len());
        let bytes = slots * size_of::<u64>()
            + self.keys.len()
            + key_bytes
            + records * PREFIX
            + all_records as usize / 8
            + other_bytes;
        bytes <= self.limit_bytes
    }

    /// Takes the first look for each of the keys.
    #[inline]
    pub(super) fn look(&self, probes: &mut [Probe<'_>]) {
        // Loops of few instructions and without a branch that hangs on what is loaded, so that many loads are under way at
        // once.
        for probe in &mut *probes {
            probe.hash = hash(probe.key, self.seed);
        }
        for probe in &mut *probes {
            let slot = self.slots[self.home(probe.hash)];
            let mask = u32::from(hash_of(slot) == probe.hash).wrapping_neg();
            probe.found = key_of(slot) & mask;
        }
        for probe in &mut *probes {
            probe.length = self.length_at(probe.found);
        }
        for probe in probes {
            let is_found =
                probe.found != NONE && probe.length as usize == probe.key.len() && self.is_at(probe.key, probe.found);
            probe.found = if is_found { probe.found } else { NONE };
        }
    }

    /// Whether the key that was looked for is there.
    #[inline]
    pub(super) fn contains(&self, probe: &Probe<'_>) -> bool {
        probe.found != NONE || self.find(probe).is_ok()
    }

    /// Numbers a record whose key was looked for; the key's previous one is superseded.
    #[inline]
    pub(super) fn add(&mut self, probe: &Probe<'_>) {
        let number = self.next_number();
        // Keys never move, so what was found stays found, whatever was added since.
        let place = if probe.found == NONE { self.find(probe) } else { Ok(probe.found) };
        match place {
            Ok(key) => {
                let last = self.keys[key as usize..].first_chunk_mut().expect("a prefix is longer");
                let previous = std::mem::replace(last, number.to_le_bytes());
                self.supersede(u32::from_le_bytes(previous));
            }
            Err(slot) => self.insert(slot, probe, number),
        }
    }

    /// Numbers a record that is not to stay.
    pub(super) fn add_superseded(&mut self) {
        let number = self.next_number();
        self.supersede(number);
    }

    pub(super) fn is_superseded(&self, number: u32) -> bool {
        self.superseded[number as usize / 64] >> (number % 64) & 1 == 1
    }

    /// How many of these records are superseded.
    pub(super) fn count_superseded(&self, numbers: std::ops::Range<u32>) -> u32 {
        if numbers.is_empty() {
            return 0;
        }
        let (first, last) = (numbers.start as usize / 64, (numbers.end - 1) as usize / 64);
        let mut count = 0;
        for word in first..=last {
            let mut bits = self.superseded[word];
            if word == first {
                bits &= u64::MAX << (numbers.start % 64);
            }
            if word == last {
                bits &= u64::MAX >> (63 - (numbers.end - 1) % 64);
            }
            count += bits.count_ones();
        }
        count
    }

    /// Makes room to number so many records.
    pub(super) fn expect(&mut self, records: usize) {
        self.superseded.resize((self.records as usize + records).div_ceil(64), 0);
    }

    #[inline]
    fn next_number(&mut self) -> u32 {
        let number = self.records;
        self.records += 1;
        number
    }

    #[inline]
    fn supersede(&mut self, number: u32) {
        self.superseded[number as usize / 64] |= 1 << (number % 64);
    }

    /// Where the key's prefix is, or else the slot that it belongs in.
    fn find(&self, probe: &Probe<'_>) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut index = self.home(probe.hash);
        loop {
            let slot = self.slots[index];
            let key = key_of(slot);
            if key == NONE {
                return Err(index);
            }
            if hash_of(slot) == probe.hash
                && self.length_at(key) as usize == probe.key.len()
                && self.is_at(probe.key, key)
            {
                return Ok(key);
            }
            index = (index + 1) & mask;
        }
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline]
    fn length_at(&self, position: u32) -> u32 {
        let prefix = self.keys[position as usize..].first_chunk().expect("keys have prefixes");
        (u64::from_le_bytes(*prefix) >> 32) as u32
    }

    /// Whether it is this key that lies there, which is as long.
    #[inline]
    fn is_at(&self, key: &[u8], position: u32) -> bool {
        is_same(key, &self.keys[position as usize + PREFIX..][..key.len()])
    }

    fn insert(&mut self, slot: usize, probe: &Probe<'_>, number: u32) {
        let position = self.keys.len() as u32;
        let prefix = u64::from(number) | (probe.key.len() as u64) << 32;
        self.keys.reserve(PREFIX + probe.key.len());
        self.keys.extend_from_slice(&prefix.to_le_bytes());
        self.keys.extend_from_slice(probe.key);
        self.slots[slot] = u64::from(probe.hash) << 32 | u64::from(position);
        self.count += 1;
        if slots_for(self.count) > self.slots.len() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![0; length]);
        self.shift = shift_for(length);
        for slot in old.into_iter().filter(|slot| key_of(*slot) != NONE) {
            let mut index = self.home(hash_of(slot));
            while key_of(self.slots[index]) != NONE {
                index = (index + 1) & (length - 1);
            }
            self.slots[index] = slot;
        }
    }
}

fn hash_of(slot: u64) -> u32 {
    (slot >> 32) as u32
}

fn key_of(slot: u64) -> u32 {
    slot as u32
}

/// How many slots so many keys take.
fn slots_for(count: usize) -> usize {
    (count + count / 3 + 1).next_power_of_two()
}

/// For a power of two from 2 on.
fn shift_for(slots: usize) -> u32 {
    u32::BITS - slots.trailing_zeros()
}

/// Whether two keys of equal length are the same. Most keys are short, and a call to compare them takes longer than that.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let tail = one.len().wrapping_sub(8);
    match one.len() {
        8..=16 => word(one) == word(other) && word(&one[tail..]) == word(&other[tail..]),
        _ => one == other,
    }
}

/// A hash in the manner of wyhash: 128-bit products, folded.
#[inline]
fn hash(key: &[u8], seed: u64) -> u32 {
    const SECRET: [u64; 3] = [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9, 0x4b33_a62e_d433_d4a3];
    let mut seed = seed ^ SECRET[0];
    let mut rest = key;
    while let Some((head, tail)) = rest.split_first_chunk::<16>() {
        if tail.is_empty() {
            break;
        }
        let (low, high) = halves(head);
        seed = fold(low ^ SECRET[1], high ^ seed);
        rest = tail;
    }
    // Up to 16 bytes are left: two words that overlap, or what there is.
    let (low, high) = match rest.len() {
        8.. => (word(rest), word(&rest[rest.len() - 8..])),
        4.. => (half_word(rest), half_word(&rest[rest.len() - 4..])),
        1.. => (u64::from(rest[0]) << 16 | u64::from(rest[rest.len() / 2]) << 8 | u64::from(rest[rest.len() - 1]), 0),
        0 => (0, 0),
    };
    let hash = fold(fold(low ^ SECRET[1], high ^ seed) ^ SECRET[2], key.len() as u64 ^ SECRET[1]);
    (hash >> 32) as u32
}

fn halves(bytes: &[u8; 16]) -> (u64, u64) {
    (word(bytes), word(&bytes[8..]))
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn half_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes).into())
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn add(index: &mut KeyIndex, keys: &[&[u8]]) {
        index.expect(keys.len());
        for chunk in keys.chunks(CHUNK) {
            let mut probes: Vec<_> = chunk.iter().map(|key| Probe::new(key)).collect();
            index.look(&mut probes);
            probes.iter().for_each(|probe| index.add(probe));
        }
    }

    fn contains(index: &KeyIndex, key: &[u8]) -> bool {
        let mut probe = [Probe::new(key)];
        index.look(&mut probe);
        index.contains(&probe[0])
    }

    #[test]
    fn all_but_the_last_record_of_a_key_are_superseded() {
        // Enough keys to grow several times, repeated within a chunk and far apart.
        let keys: Vec<Vec<u8>> = (0..20_000u32)
            .map(|n| vec![b'k'; (n % 37) as usize].into_iter().chain((n * n % 7_001).to_le_bytes()).collect())
            .collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        for seed in [0, 1, u64::MAX] {
            let mut index = KeyIndex::new(usize::MAX, seed);
            add(&mut index, &keys);
            let last: HashMap<&[u8], usize> = keys.iter().enumerate().map(|(number, key)| (*key, number)).collect();
            for (number, key) in keys.iter().enumerate() {
                assert_eq!(index.is_superseded(number as u32), last[key] != number);
            }
            assert_eq!(index.count, last.len());
            assert_eq!(index.count_superseded(0..20_000), (keys.len() - last.len()) as u32);
            assert!(keys.iter().all(|key| contains(&index, key)));
            assert!(!contains(&index, b"") && !contains(&index, b"other"));
        }
    }

    #[test]
    fn keys_with_equal_hashes_are_told_apart() {
        let mut index = KeyIndex::new(usize::MAX, 0);
        index.expect(5);
        let probe = |key| Probe { key, hash: 7, found: NONE, length: 0 };
        for key in [&b"a"[..], b"b", b"ab", b"", b"a"] {
            index.add(&probe(key));
        }
        let superseded: Vec<_> = (0..5).map(|number| index.is_superseded(number)).collect();
        assert_eq!((superseded, index.count), (vec![true, false, false, false, false], 4));
        assert!(index.contains(&probe(b"")) && !index.contains(&probe(b"c")));
    }

    #[test]
    fn superseded_records_are_counted_from_any_to_any() {
        let mut index = KeyIndex::new(usize::MAX, 0);
        for number in 0..300u32 {
            index.expect(1);
            if number % 3 == 0 { index.add_superseded() } else { add(&mut index, &[&number.to_le_bytes()]) }
        }
        for start in [0, 1, 63, 64, 65, 190, 299, 300] {
            for end in [start, start + 1, 64, 128, 192, 300].into_iter().filter(|end| (start..=300).contains(end)) {
                let expected = (start..end).filter(|number| number % 3 == 0).count() as u32;
                assert_eq!(index.count_superseded(start..end), expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn room_is_counted_before_it_is_used() {
        let mut index = KeyIndex::new(64 << 10, 0);
        let mut added = 0u64;
        while index.has_room(1, 8, 0) {
            add(&mut index, &[&added.to_le_bytes()]);
            added += 1;
            assert!(
                index.slots.len() * size_of::<u64>() + index.keys.len() + index.superseded.len() * 8 <= (64 << 10) + 8
            );
        }
        // Sixteen bytes a key and its prefix, and eight a slot, of which between three and six eighths are in use.
        assert!((1_500..3_100).contains(&added), "{added}");
    }

    #[test]
    fn numbers_of_records_do_not_wrap() {
        let index = KeyIndex { records: u32::MAX - 10, ..KeyIndex::new(usize::MAX, 0) };
        assert!(index.has_room(10, 0, 0));
        assert!(!index.has_room(11, 0, 0));
    }

    #[test]
    fn what_else_a_run_holds_counts() {
        let index = KeyIndex::new(64 << 10, 0);
        let free = (64 << 10) - KeyIndex::FIRST_SLOTS * size_of::<u64>() - PREFIX;
        assert!(index.has_room(0, 0, free) && index.has_room(0, free, 0));
        assert!(!index.has_room(0, 0, free + 1) && !index.has_room(0, 1, free));
    }
}
