//! [`Window`]: of one partition, what was taken and is not ready to commit.

use std::collections::VecDeque;

use crate::types::{LeaderEpoch, Offset, OffsetAndMetadata, TopicPartition};

/// Of one assignment of one partition, the records that were taken and are not part of the completed prefix.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) topic_partition: TopicPartition,
    /// From the first record that is not complete on, in order of offset. Interceptors may have added the same twice.
    entries: VecDeque<Entry>,
    /// The offset behind the completed prefix, and its last record's epoch. `None` until the first record is complete.
    prefix: Option<(Offset, LeaderEpoch)>,
    /// What to commit while nothing is left: the consumer's position. It is past the last record where offsets without
    /// records follow, and all there is of a partition that stands still.
    position: Option<OffsetAndMetadata>,
    /// The last offset whose commit was accepted.
    committed: Option<Offset>,
    /// How many of its records are at handlers.
    pub(super) running: usize,
    /// Whether records were taken of it: then it has a share of what there is room for.
    pub(super) is_sharing: bool,
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
            position: None,
            committed: None,
            running: 0,
            is_sharing: false,
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
        let entry = Entry { offset, leader_epoch, is_complete: false };
        match self.entries.back() {
            // Interceptors may return records in another order, and more than once.
            Some(last) if last.offset >= offset => {
                let index = self.entries.partition_point(|before| before.offset <= offset);
                self.entries.insert(index, entry);
            }
            _ => self.entries.push_back(entry),
        }
    }

    /// Notes the position of a consumer all of whose records were taken.
    pub(super) fn advance(&mut self, position: OffsetAndMetadata) {
        self.position = Some(position);
    }

    /// Pauses the partition if it holds this much; returns whether it was not paused before.
    pub(super) fn pause_from(&mut self, share: usize) -> bool {
        let is_paused = self.is_paused || self.len() >= share;
        std::mem::replace(&mut self.is_paused, is_paused) != is_paused
    }

    /// Notes that a record is complete; returns by how many the window shrank.
    pub(super) fn complete(&mut self, offset: Offset) -> usize {
        let first = self.entries.partition_point(|entry| entry.offset < offset);
        let mut same = self.entries.range_mut(first..).take_while(|entry| entry.offset == offset);
        let Some(entry) = same.find(|entry| !entry.is_complete) else { return 0 };
        entry.is_complete = true;
        let before = self.entries.len();
        while let Some(Entry { offset, leader_epoch, is_complete: true }) = self.entries.front() {
            self.prefix = Some((offset + 1, *leader_epoch));
            self.entries.pop_front();
        }
        before - self.entries.len()
    }

    /// What to commit: the first record that is not complete, or else the position. `None` if that has been accepted
    /// already.
    ///
    /// The first record is committed before anything is complete, too: without a committed offset, the partition's next
    /// owner would begin where `auto.offset.reset` says, and `latest` is behind it.
    pub(super) fn uncommitted(&self) -> Option<(TopicPartition, OffsetAndMetadata)> {
        let at = |offset| OffsetAndMetadata::new(offset).with_leader_epoch(self.prefix.map(|(_, epoch)| epoch));
        let position = match self.entries.front() {
            Some(first) => at(first.offset),
            None => self.position.clone().or_else(|| self.prefix.map(|(offset, _)| at(offset)))?,
        };
        (self.committed != Some(position.offset())).then(|| (self.topic_partition.clone(), position))
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
        assert_eq!((window.complete(5), next(&window), window.len()), (0, Some(3), 4));
        window.committed(3);
        assert_eq!(next(&window), None);
        assert_eq!((window.complete(3), next(&window), window.len()), (2, Some(6), 2));
        window.committed(6);
        assert_eq!((window.complete(9), next(&window)), (0, None));
        assert_eq!((window.complete(6), next(&window), window.len()), (2, Some(10), 0));
        assert_eq!(window.complete(6), 0);
    }

    #[test]
    fn an_empty_window_commits_the_position() {
        let mut window = Window::new(TopicPartition::new("t", 0));
        let next = |window: &Window| window.uncommitted().map(|(_, position)| position.offset());
        assert_eq!(next(&window), None);
        window.advance(OffsetAndMetadata::new(2));
        assert_eq!(next(&window), Some(2));
        window.take(3, LeaderEpoch(1));
        window.take(4, LeaderEpoch(1));
        window.advance(OffsetAndMetadata::new(7));
        assert_eq!(next(&window), Some(3));
        window.complete(3);
        assert_eq!(next(&window), Some(4));
        window.complete(4);
        assert_eq!(next(&window), Some(7));
        window.committed(7);
        assert_eq!(next(&window), None);
        window.advance(OffsetAndMetadata::new(9));
        assert_eq!(next(&window), Some(9));
        // Not back to behind the last record.
        window.take(9, LeaderEpoch(1));
        assert_eq!(next(&window), Some(9));
    }

    #[test]
    fn the_epoch_is_that_of_the_last_complete_record() {
        let mut window = Window::new(TopicPartition::new("t", 0));
        let next = |window: &Window| window.uncommitted().map(|(_, at)| (at.offset(), at.leader_epoch()));
        window.take(3, LeaderEpoch(1));
        window.take(4, LeaderEpoch(2));
        assert_eq!(next(&window), Some((3, None)));
        window.complete(3);
        assert_eq!(next(&window), Some((4, Some(LeaderEpoch(1)))));
        window.complete(4);
        assert_eq!(next(&window), Some((5, Some(LeaderEpoch(2)))));
    }

    #[test]
    fn records_may_come_in_another_order_and_again() {
        let mut window = Window::new(TopicPartition::new("t", 0));
        let next = |window: &Window| window.uncommitted().map(|(_, position)| position.offset());
        for offset in [2, 0, 1, 1] {
            window.take(offset, LeaderEpoch(1));
        }
        assert_eq!((window.complete(1), window.complete(2), next(&window)), (0, 0, Some(0)));
        assert_eq!((window.complete(0), window.len(), window.unfinished()), (2, 2, 1));
        // The other one of the two is not complete.
        assert_eq!(next(&window), Some(1));
        assert_eq!((window.complete(1), next(&window), window.complete(1)), (2, Some(3), 0));
        window.committed(3);
        window.take(0, LeaderEpoch(1));
        window.take(5, LeaderEpoch(1));
        assert_eq!((window.complete(5), next(&window)), (0, Some(0)));
        assert_eq!((window.complete(0), next(&window)), (2, Some(6)));
    }
}
