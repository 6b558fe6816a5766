//! Requests to a group's coordinator, by symbolic members.

use fastrand::Rng;

/// Two members: with more, which of them leads next is a matter of Java's hash codes.
pub(crate) const SLOTS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    /// What the coordinator gave to this slot last; empty at first.
    Own,
    Empty,
    Unknown,
    Other,
}

#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Join {
        slot: usize,
        id: Id,
        instance: bool,
        protocols: &'static [&'static str],
        kind: &'static str,
        known: bool,
        session: i32,
    },
    Sync {
        slot: usize,
        id: Id,
        generation: i32,
        instance: bool,
        kind: Option<&'static str>,
        protocol: Option<&'static str>,
    },
    Heartbeat {
        slot: usize,
        id: Id,
        generation: i32,
        instance: bool,
    },
    Leave(Vec<(usize, Id, bool)>),
    Commit {
        slot: usize,
        id: Id,
        generation: Option<i32>,
        instance: bool,
        partition: (&'static str, i32),
        offset: i64,
        note: String,
    },
    Fetch(Option<Vec<(&'static str, i32)>>),
    DeleteOffsets(Vec<(&'static str, i32)>),
    Describe,
    Delete,
}

impl Ask {
    /// The version that it is sent in. JoinGroup up to 3 gives a member id without asking back; static members came with
    /// 5. SyncGroup up to 4 knows no protocols.
    pub(crate) fn version(&self) -> i16 {
        match self {
            Self::Join { instance, known, .. } if !instance && !known => 3,
            Self::Join { .. } => 9,
            Self::Sync { kind: None, .. } => 4,
            _ => 5,
        }
    }

    /// The slot whose answer has to be there first.
    pub(crate) fn slot(&self) -> Option<usize> {
        match self {
            Self::Join { slot, .. } | Self::Sync { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}

pub(crate) fn sequence(seed: u64, length: usize) -> Vec<Ask> {
    let mut rng = Rng::with_seed(seed);
    // Mostly one kind of group, or nothing ever gets stable.
    let kind = if rng.u8(0..4) == 0 { "connect" } else { "consumer" };
    (0..length).map(|_| ask(&mut rng, kind)).collect()
}

pub(crate) fn ask(rng: &mut Rng, kind: &'static str) -> Ask {
    let slot = rng.usize(0..SLOTS);
    let id = [Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Own, Id::Empty, Id::Unknown, Id::Other]
        [rng.usize(0..10)];
    let generation = [0, 0, 0, 0, 0, 0, -1, 1][rng.usize(0..8)];
    // The second slot is mostly static.
    let instance = (slot == 1) != (rng.u8(0..10) == 0);
    let kind = if rng.u8(0..25) == 0 { "other" } else { kind };
    let partition = [("t", 0), ("t", 1), ("u", 0), ("u", 0), ("missing", 0), ("t", 7)][rng.usize(0..6)];
    match rng.u8(0..40) {
        0..12 => Ask::Join {
            slot,
            id: if id == Id::Unknown && rng.bool() { Id::Own } else { id },
            instance,
            protocols: [
                &["range"][..],
                &["range", "roundrobin"],
                &["range", "roundrobin"],
                &["range", "roundrobin"],
                &["roundrobin"],
                &[],
            ][rng.usize(0..6)],
            kind,
            known: rng.u8(0..3) > 0,
            session: if rng.u8(0..20) == 0 { [1000, 2_000_000, 0, -1][rng.usize(0..4)] } else { 60_000 },
        },
        12..21 => Ask::Sync {
            slot,
            id,
            generation,
            instance,
            kind: [Some(kind), Some(kind), Some(kind), None, Some("other")][rng.usize(0..5)],
            protocol: [None, None, None, Some("range"), Some("roundrobin")][rng.usize(0..5)],
        },
        21..25 => Ask::Heartbeat { slot, id, generation, instance },
        25..28 => Ask::Leave((0..rng.usize(1..3)).map(|_| (rng.usize(0..SLOTS), id, rng.bool())).collect()),
        28..33 => Ask::Commit {
            slot,
            id: if rng.u8(0..4) == 0 { Id::Empty } else { id },
            generation: (rng.u8(0..4) > 0).then_some(generation),
            instance,
            partition,
            offset: [0, 5, 1_000_000, -1, -2][rng.usize(0..5)],
            note: ["", "note"][rng.usize(0..2)].to_owned(),
        },
        33..35 => Ask::Fetch((rng.bool()).then(|| vec![partition, ("t", 1)])),
        35 => Ask::DeleteOffsets(vec![partition, ("t", 0)]),
        36..39 => Ask::Describe,
        _ => Ask::Delete,
    }
}
