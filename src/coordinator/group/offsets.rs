//! [`Offsets`]: what each group has committed.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use crate::types::{OffsetAndMetadata, TopicPartition};

/// One committed offset, and since when it ages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) offset: OffsetAndMetadata,
    pub(super) commit_timestamp_ms: i64,
    /// When the offset expires, whatever its group does; only records of value version 1 say so.
    pub(super) expire_timestamp_ms: Option<i64>,
}

/// The last accepted commit of every group for every partition. Changed by replay only.
///
/// Bounded by groups times the partitions they commit; entries go with their topic or their group, or expire.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    /// No group maps to an empty map.
    by_group: BTreeMap<String, BTreeMap<TopicPartition, Committed>>,
}

impl Offsets {
    pub(super) fn get(&self, group_id: &str, topic_partition: &TopicPartition) -> Option<&Committed> {
        self.by_group.get(group_id)?.get(topic_partition)
    }

    /// Everything that the group has committed, ordered by topic and partition.
    pub(super) fn of_group(&self, group_id: &str) -> impl Iterator<Item = (&TopicPartition, &Committed)> + use<'_> {
        self.by_group.get(group_id).into_iter().flatten()
    }

    /// How many offsets there are, over all groups.
    pub(super) fn len(&self) -> usize {
        self.by_group.values().map(BTreeMap::len).sum()
    }

    /// For how many partitions the group has committed.
    pub(super) fn count(&self, group_id: &str) -> usize {
        self.by_group.get(group_id).map_or(0, BTreeMap::len)
    }

    /// Every group, in order and from `first` on, and partition with an offset for one of the topics.
    pub(super) fn of_topics<'o>(
        &'o self,
        first: &str,
        topics: &'o HashSet<&str>,
    ) -> impl Iterator<Item = (&'o str, &'o TopicPartition)> {
        let entries = self.by_group.range::<str, _>((Bound::Included(first), Bound::Unbounded));
        let entries = entries.flat_map(|(group_id, offsets)| offsets.keys().map(move |key| (group_id.as_str(), key)));
        entries.filter(|(_, topic_partition)| topics.contains(topic_partition.topic()))
    }

    pub(super) fn put(&mut self, group_id: String, topic_partition: TopicPartition, committed: Committed) {
        self.by_group.entry(group_id).or_default().insert(topic_partition, committed);
    }

    pub(super) fn remove(&mut self, group_id: &str, topic_partition: &TopicPartition) {
        let Some(offsets) = self.by_group.get_mut(group_id) else { return };
        offsets.remove(topic_partition);
        if offsets.is_empty() {
            self.by_group.remove(group_id);
        }
    }
}
