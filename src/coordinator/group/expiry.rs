//! The expiry of committed offsets (KIP-211), and of groups that have nothing left.
//!
//! Every `offsets.retention.check.interval.ms` all groups of the shard are looked at. An offset has expired when
//! `offsets.retention.minutes` have passed
//!
//! * in an empty group: since its last member went (since the commit, where a record of old does not tell);
//! * in a group that has never had members: since the commit;
//! * in a stable group of consumers: since the commit, and only if no member subscribes to its topic;
//! * in any of these groups, for an offset that carries a time of its own: at that time.
//!
//! A group is forgotten when it is empty and has no offsets left. Unlike in Kafka, one in which a member id has been
//! handed out and may still be used is spared until the next look.
//!
//! A look is taken in steps of bounded length, each a batch of tombstones of bounded size. A batch that cannot be
//! appended ends the look; the next one finds again what it missed.

use std::ops::Bound;
use std::sync::Arc;

use super::classic::ClassicGroup;
use super::offsets::Offsets;
use super::outcome::Outcome;
use super::record;
use super::shard::GroupShard;
use crate::coordinator::CoordinatorRecord;

/// A step ends with the batch that has so many tombstones, or so many bytes of keys. Far below any sensible
/// `max.message.bytes`, and short enough for those who wait for the shard's lock.
const MAX_TOMBSTONES: usize = 1_000;
const MAX_TOMBSTONE_BYTES: usize = 128 << 10;

/// A step ends after so many groups and offsets have been looked at.
const MAX_VISITED: usize = 10_000;

/// When the shard looks for expired offsets next.
#[derive(Debug)]
pub(super) struct Expiry {
    /// When the next look, or the next step of this one, is due.
    next_ms: i64,
    /// Where the look under way goes on.
    resume_at: Option<Arc<str>>,
}

impl Expiry {
    /// Nothing is due before [`put_off`](Self::put_off) has been called.
    pub(super) fn new() -> Self {
        Self { next_ms: i64::MAX, resume_at: None }
    }

    pub(super) fn deadline(&self) -> i64 {
        self.next_ms
    }

    /// Ends the look that is under way, if one is, and waits an interval before the next.
    pub(super) fn put_off(&mut self, now_ms: i64, interval_ms: i64) {
        *self = Self { next_ms: now_ms.saturating_add(interval_ms), resume_at: None };
    }

    /// Ends the look that is under way: its tombstones cannot be appended.
    pub(super) fn give_up(&mut self, interval_ms: i64) {
        if self.resume_at.is_some() {
            self.put_off(self.next_ms, interval_ms);
        }
    }
}

/// A batch of tombstones that has a size limit.
#[derive(Default)]
pub(super) struct Tombstones {
    records: Vec<CoordinatorRecord>,
    bytes: usize,
}

impl Tombstones {
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= MAX_TOMBSTONES || self.bytes >= MAX_TOMBSTONE_BYTES
    }

    pub(super) fn push(&mut self, record: CoordinatorRecord) {
        self.bytes += record.key.len();
        self.records.push(record);
    }

    pub(super) fn into_outcome(self) -> Outcome {
        Outcome { records: self.records, replies: Vec::new() }
    }
}

impl GroupShard {
    /// Takes one step of a look for expired offsets.
    pub(super) fn expire(&mut self, now_ms: i64) -> Outcome {
        let config = &self.environment.config;
        let mut tombstones = Tombstones::default();
        let mut visited = 0;
        let from = self.expiry.resume_at.take();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        for (group_id, group) in self.groups.range::<str, _>((from, Bound::Unbounded)) {
            let is_finished = visited < MAX_VISITED
                && expire_group(group, &self.offsets, now_ms, config.offsets_retention_ms, &mut tombstones);
            if !is_finished {
                self.expiry.resume_at = Some(group_id.clone());
                break;
            }
            visited += 1 + self.offsets.count(group_id);
        }
        match self.expiry.resume_at {
            Some(_) => self.expiry.next_ms = now_ms,
            None => self.expiry.put_off(now_ms, config.offsets_retention_check_interval_ms),
        }
        tombstones.into_outcome()
    }
}

/// Adds the tombstones of one group; `false` if there was not enough room for all of them.
fn expire_group(
    group: &ClassicGroup,
    offsets: &Offsets,
    now_ms: i64,
    retention_ms: i64,
    tombstones: &mut Tombstones,
) -> bool {
    let mut has_offsets_left = false;
    if let Some(terms) = group.expiry_terms() {
        for (topic_partition, committed) in offsets.of_group(group.id()) {
            if !terms.has_expired(topic_partition.topic(), committed, now_ms, retention_ms) {
                has_offsets_left = true;
            } else if tombstones.is_full() {
                return false;
            } else {
                tombstones.push(record::offset_tombstone(group.id(), topic_partition));
            }
        }
    } else {
        has_offsets_left = true;
    }
    if !has_offsets_left && group.is_abandoned() {
        if tombstones.is_full() {
            return false;
        }
        tombstones.push(record::group_tombstone(group.id()));
    }
    true
}
