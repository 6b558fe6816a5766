//! [`SubscriptionState`]: what a consumer wants and what it has been given.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex_lite::Regex;

use crate::client::consumer::AutoOffsetReset;
use crate::client::consumer::partition_state::{PartitionState, Phase, Reset};
use crate::cluster::{MetadataImage, Token};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// What a consumer wants and what it has been given: Kafka's `SubscriptionState`.
#[derive(Debug, Default)]
pub(super) struct SubscriptionState {
    kind: Kind,
    partitions: Vec<PartitionState>,
    /// Into `partitions`.
    index: HashMap<TopicPartition, usize>,
    /// Counts changes of the assignment: indexes into it hold for one epoch.
    epoch: u64,
    /// Partitions that may have something to read, the longest hot first. Of the others, what was read is still to be
    /// handed out, or they are paused or wait for a position or a leader, or the consumer is registered with their
    /// leaders: each ends with [`SubscriptionState::heat`]. So polls cost nothing for partitions that stand still.
    pub(super) hot: Vec<usize>,
    /// How many there are, for who asks.
    assigned: Arc<AtomicUsize>,
    /// Whether a position may have to be placed or a leader found before the next read.
    pub(super) unsettled: bool,
    /// Whether a partition may be without a leader.
    pub(super) leaderless: bool,
    /// Whether a position may have moved since an automatic commit found none that had.
    pub(super) moved: bool,
}

#[derive(Debug, Default)]
enum Kind {
    #[default]
    None,
    Topics(BTreeSet<String>),
    Pattern {
        pattern: Regex,
        /// The topics that match in the latest metadata.
        topics: BTreeSet<String>,
    },
    /// Assigned by hand.
    Manual,
}

// What is wanted.
impl SubscriptionState {
    pub(super) fn subscribe(&mut self, topics: BTreeSet<String>) -> Result<()> {
        self.exclusive(matches!(self.kind, Kind::None | Kind::Topics(_)))?;
        self.kind = Kind::Topics(topics);
        Ok(())
    }

    pub(super) fn subscribe_pattern(&mut self, pattern: Regex) -> Result<()> {
        self.exclusive(matches!(self.kind, Kind::None | Kind::Pattern { .. }))?;
        self.kind = Kind::Pattern { pattern, topics: BTreeSet::new() };
        Ok(())
    }

    pub(super) fn assign_manually(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        self.exclusive(matches!(self.kind, Kind::None | Kind::Manual))?;
        self.kind = Kind::Manual;
        self.set_assignment(partitions);
        Ok(())
    }

    fn exclusive(&self, fits: bool) -> Result<()> {
        if fits {
            return Ok(());
        }
        Err(Error::illegal_state("Subscription to topics, partitions and pattern are mutually exclusive"))
    }

    pub(super) fn unsubscribe(&mut self) {
        self.kind = Kind::None;
        self.set_assignment([]);
    }

    /// Whether neither topics nor partitions are asked for.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.kind, Kind::None)
    }

    /// Whether the group assigns the partitions.
    pub(super) fn is_group_managed(&self) -> bool {
        matches!(self.kind, Kind::Topics(_) | Kind::Pattern { .. })
    }

    /// The topics subscribed to; those that match, with a pattern.
    pub(super) fn topics(&self) -> Option<&BTreeSet<String>> {
        match &self.kind {
            Kind::Topics(topics) | Kind::Pattern { topics, .. } => Some(topics),
            Kind::None | Kind::Manual => None,
        }
    }

    /// The topics that were named: subscribed to, but not by a pattern, or with partitions assigned by hand.
    pub(super) fn wanted_topics(&self) -> impl Iterator<Item = &str> {
        let subscribed = match &self.kind {
            Kind::Topics(topics) => Some(topics.iter().map(String::as_str)),
            Kind::None | Kind::Manual | Kind::Pattern { .. } => None,
        };
        let by_hand =
            matches!(self.kind, Kind::Manual).then(|| self.partitions.iter().map(|it| it.topic_partition.topic()));
        subscribed.into_iter().flatten().chain(by_hand.into_iter().flatten())
    }

    /// Looks for topics that match the pattern.
    pub(super) fn match_topics(&mut self, image: &MetadataImage, exclude_internal: bool) {
        if let Kind::Pattern { pattern, topics } = &mut self.kind {
            let matching = image
                .topics
                .iter()
                .filter(|(name, topic)| pattern.is_match(name) && !(exclude_internal && topic.is_internal()));
            *topics = matching.map(|(name, _)| name.to_string()).collect();
        }
    }

    /// Whether an assignment can be meant for this subscription. One that was made for an earlier one may not.
    pub(super) fn accepts(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Topics(topics) => topics.contains(topic),
            // The leader's metadata may be ahead of this member's, so the pattern decides.
            Kind::Pattern { pattern, .. } => pattern.is_match(topic),
            Kind::None | Kind::Manual => false,
        }
    }
}

// What has been given.
impl SubscriptionState {
    /// Takes a new assignment. Partitions that stay keep their state.
    pub(super) fn set_assignment(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let mut old: HashMap<_, _> =
            self.partitions.drain(..).map(|state| (state.topic_partition.clone(), state)).collect();
        self.index.clear();
        for topic_partition in partitions {
            if self.index.contains_key(&topic_partition) {
                continue;
            }
            let mut state =
                old.remove(&topic_partition).unwrap_or_else(|| PartitionState::new(topic_partition.clone()));
            (state.queued, state.revoking, state.is_hot) = (false, false, true);
            // Under an index of the old assignment.
            state.unregister();
            self.index.insert(topic_partition, self.partitions.len());
            self.partitions.push(state);
        }
        self.hot = (0..self.partitions.len()).collect();
        self.assigned.store(self.partitions.len(), Ordering::Relaxed);
        self.epoch += 1;
        self.unsettled = true;
    }

    pub(super) fn assigned_count(&self) -> &Arc<AtomicUsize> {
        &self.assigned
    }

    /// Changes with every assignment.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    #[inline]
    pub(super) fn partitions(&self) -> &[PartitionState] {
        &self.partitions
    }

    #[inline]
    pub(super) fn partitions_mut(&mut self) -> &mut [PartitionState] {
        &mut self.partitions
    }

    /// The assigned partitions, in order.
    pub(super) fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.index.keys().cloned().collect()
    }

    pub(super) fn find(&self, topic_partition: &TopicPartition) -> Option<&PartitionState> {
        self.index.get(topic_partition).map(|index| &self.partitions[*index])
    }

    /// For a change, after which polls look at the partition again.
    pub(super) fn find_mut(&mut self, topic_partition: &TopicPartition) -> Option<&mut PartitionState> {
        let index = *self.index.get(topic_partition)?;
        self.heat(index);
        Some(&mut self.partitions[index])
    }

    /// Has the next poll look at a partition.
    pub(super) fn heat(&mut self, index: usize) {
        self.moved = true;
        if let Some(state) = self.partitions.get_mut(index)
            && !std::mem::replace(&mut state.is_hot, true)
        {
            self.hot.push(index);
        }
    }

    pub(super) fn heat_all(&mut self) {
        (0..self.partitions.len()).for_each(|index| self.heat(index));
    }

    /// A partition that the consumer was registered with under this token moved.
    pub(super) fn heat_ready(&mut self, token: Token) {
        if token.epoch == self.epoch as u32
            && let Some(state) = self.partitions.get_mut(token.index as usize)
        {
            state.set_unregistered();
            self.heat(token.index as usize);
        }
    }

    pub(super) fn assigned(&self, topic_partition: &TopicPartition) -> Result<&PartitionState> {
        self.find(topic_partition).ok_or_else(|| not_assigned(topic_partition))
    }

    pub(super) fn assigned_mut(&mut self, topic_partition: &TopicPartition) -> Result<&mut PartitionState> {
        self.find_mut(topic_partition).ok_or_else(|| not_assigned(topic_partition))
    }

    /// The named partitions, or all of them if none is named; an error, and no change, if one is not assigned.
    pub(super) fn named_or_all(&mut self, named: Vec<TopicPartition>) -> Result<Vec<&mut PartitionState>> {
        for topic_partition in &named {
            self.assigned(topic_partition)?;
        }
        let named: HashSet<TopicPartition> = named.into_iter().collect();
        self.heat_all();
        let is_named = |state: &&mut PartitionState| named.is_empty() || named.contains(&state.topic_partition);
        Ok(self.partitions.iter_mut().filter(is_named).collect())
    }

    /// The positions of everything handed out so far.
    pub(super) fn consumed(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let consumed = self.partitions.iter();
        consumed.filter_map(|state| Some((state.topic_partition.clone(), state.consumed()?))).collect()
    }

    /// The positions that no accepted commit of this consumer has said yet.
    pub(super) fn uncommitted(&self) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let uncommitted = self.partitions.iter().filter(|state| state.committed != Some(state.position));
        uncommitted.filter_map(|state| Some((state.topic_partition.clone(), state.consumed()?))).collect()
    }

    /// Notes what a commit said that was accepted.
    pub(super) fn mark_committed(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) {
        for (topic_partition, offset) in offsets {
            if let Some(index) = self.index.get(topic_partition) {
                self.partitions[*index].committed = Some(offset.offset());
            }
        }
    }

    /// Places the position of partitions for which nothing is committed.
    pub(super) fn place_uncommitted(&mut self, named: &[TopicPartition], reset: AutoOffsetReset) -> Result<()> {
        let without: Vec<_> = named.iter().filter(|name| self.is_initializing(name)).cloned().collect();
        let Some(reset) = Reset::from_policy(reset) else {
            return match without.first() {
                None => Ok(()),
                Some(first) => Err(no_offset(&without).with_topic_partition(first.clone())),
            };
        };
        for topic_partition in &without {
            if let Some(state) = self.find_mut(topic_partition) {
                state.request_reset(reset);
            }
        }
        Ok(())
    }

    pub(super) fn is_initializing(&self, topic_partition: &TopicPartition) -> bool {
        self.find(topic_partition).is_some_and(|state| state.phase == Phase::Initializing)
    }
}

fn not_assigned(topic_partition: &TopicPartition) -> Error {
    Error::illegal_state("No current assignment for partition").with_topic_partition(topic_partition.clone())
}

fn no_offset(partitions: &[TopicPartition]) -> Error {
    let names: Vec<_> = partitions.iter().map(TopicPartition::to_string).collect();
    let message = format!("Undefined offset with no reset policy for partitions: [{}]", names.join(", "));
    Error::new(ErrorCode::OffsetOutOfRange, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32) -> TopicPartition {
        TopicPartition::new("t", index)
    }

    fn assigned(count: i32) -> SubscriptionState {
        let mut subscriptions = SubscriptionState::default();
        subscriptions.assign_manually((0..count).map(partition)).unwrap();
        subscriptions
    }

    #[test]
    fn ways_to_subscribe_exclude_each_other() {
        let mut subscriptions = assigned(1);
        assert!(subscriptions.subscribe(BTreeSet::from(["t".into()])).unwrap_err().is_illegal_state());
        subscriptions.unsubscribe();
        subscriptions.subscribe(BTreeSet::from(["t".into()])).unwrap();
        subscriptions.subscribe(BTreeSet::from(["u".into()])).unwrap();
        assert!(subscriptions.subscribe_pattern(Regex::new("t").unwrap()).unwrap_err().is_illegal_state());
        assert!(subscriptions.assign_manually([]).unwrap_err().is_illegal_state());
        assert!(subscriptions.accepts("u") && !subscriptions.accepts("t"));
    }

    #[test]
    fn partitions_that_stay_keep_their_state() {
        let mut subscriptions = assigned(2);
        subscriptions.assigned_mut(&partition(1)).unwrap().seek(7, None);
        subscriptions.assigned_mut(&partition(1)).unwrap().revoking = true;
        let epoch = subscriptions.epoch();
        subscriptions.set_assignment([partition(2), partition(1), partition(1)]);
        assert_ne!(subscriptions.epoch(), epoch);
        assert_eq!(subscriptions.assignment(), BTreeSet::from([partition(1), partition(2)]));
        let kept = subscriptions.find(&partition(1)).unwrap();
        assert_eq!((kept.known_position(), kept.is_fetchable()), (Some(7), true));
        assert_eq!(subscriptions.find(&partition(2)).unwrap().known_position(), None);
        assert!(subscriptions.assigned_mut(&partition(0)).unwrap_err().is_illegal_state());
    }

    #[test]
    fn only_known_positions_are_committed() {
        let mut subscriptions = assigned(3);
        subscriptions.assigned_mut(&partition(1)).unwrap().seek(7, None);
        let committed = vec![(partition(1), OffsetAndMetadata::new(7))];
        assert_eq!(subscriptions.consumed(), committed);
        assert_eq!(subscriptions.uncommitted(), committed);
        subscriptions.mark_committed(&committed);
        assert_eq!(subscriptions.uncommitted(), []);
        assert_eq!(subscriptions.consumed(), committed);
    }

    #[test]
    fn invariant_34_resets_touch_only_partitions_without_a_position() {
        let mut subscriptions = assigned(2);
        subscriptions.assigned_mut(&partition(0)).unwrap().seek(7, None);
        let names = [partition(0), partition(1)];
        let error = subscriptions.place_uncommitted(&names, AutoOffsetReset::None).unwrap_err();
        assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
        assert_eq!(error.topic_partition(), Some(&partition(1)));
        subscriptions.place_uncommitted(&names, AutoOffsetReset::Earliest).unwrap();
        assert_eq!(subscriptions.find(&partition(0)).unwrap().known_position(), Some(7));
        assert_eq!(subscriptions.find(&partition(1)).unwrap().phase, Phase::AwaitingReset(Reset::Earliest));
    }
}
