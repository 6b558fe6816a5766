//! [`Window`]: of one partition, what was taken and is not ready to commit.

use std::collections::VecDeque;

use crate::types::{LeaderEpoch, Offset, OffsetAndMetadata, TopicPartition};

/// Of one assignment of one partition, the records that were taken and are not part of the completed prefix.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) topic_partition: TopicPartition,
    /// From the first record that is not complete on, in order of offset.
    entries: VecDeque<Entry>,
    /// What to commit: behind the completed prefix. `None` until the first record is complete.
    prefix: Option<(Offset, LeaderEpoch)>,
    /// The last offset whose commit was accepted.
    committed: Option<Offset>,
    /// How many of its records are at handlers.
    pub(super) running: usize,
    /// Whether the partition is about to go: nothing new of it gets to a handler.
    pub(super) is_revoked: bool,
    /// Whether the consumer was told to pause it for holding more than its share.
    pub(super) is_paused: bool,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    leader_epoch: LeaderEpoch,
    is_complete: bool,
}

impl Window {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self {
            topic_partition,
            entries: VecDeque::new(),
            prefix: None,
            committed: None,
            running: 0,
            is_revoked: false,
            is_paused: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many records were taken and are not complete.
    pub(super) fn unfinished(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.is_complete).count()
    }

    pub(super) fn take(&mut self, offset: Offset, leader_epoch: LeaderEpoch) {
        debug_assert!(self.entries.back().is_none_or(|last| last.offset < offset), "records are taken in order");
        self.entries.push_back(Entry { offset, leader_epoch, is_complete: false });
    }

    /// Pauses the partition if it holds this much; returns whether it was not paused before.
    pub(super) fn pause_from(&mut self, share: usize) -> bool {
        let is_paused = self.is_paused || self.len() >= share;
        std::mem::replace(&mut self.is_paused, is_paused) != is_paused
    }

    /// Notes that a record is complete; returns by how many the window shrank.
    pub(super) fn complete(&mut self, offset: Offset) -> usize {
        let Ok(index) = self.entries.binary_search_by_key(&offset, |entry| entry.offset) else { return 0 };
        self.entries[index].is_complete = true;
        let before = self.entries.len();
        while let Some(Entry { offset, leader_epoch, is_complete: true }) = self.entries.front() {
            self.prefix = Some((offset + 1, *leader_epoch));
            self.entries.pop_front();
        }
        before - self.entries.len()
    }

    /// What to commit; `None` if that has been accepted already.
    pub(super) fn uncommitted(&self) -> Option<(TopicPartition, OffsetAndMetadata)> {
        let (offset, leader_epoch) = self.prefix.filter(|(offset, _)| self.committed != Some(*offset))?;
        let position = OffsetAndMetadata::new(offset).with_leader_epoch(Some(leader_epoch));
        Some((self.topic_partition.clone(), position))
    }

    pub(super) fn committed(&mut self, offset: Offset) {
        self.committed = Some(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_completed_prefix_is_committed() {
        let mut window = Window::new(TopicPartition::new("t", 0));
        // A compacted log has gaps.
        for offset in [3, 5, 6, 9] {
            window.take(offset, LeaderEpoch(1));
        }
        let next = |window: &Window| window.uncommitted().map(|(_, position)| position.offset());
        assert_eq!((window.complete(5), next(&window), window.len()), (0, None, 4));
        assert_eq!((window.complete(3), next(&window), window.len()), (2, Some(6), 2));
        window.committed(6);
        assert_eq!((window.complete(9), next(&window)), (0, None));
        assert_eq!((window.complete(6), next(&window), window.len()), (2, Some(10), 0));
        assert_eq!(window.complete(6), 0);
    }
}
