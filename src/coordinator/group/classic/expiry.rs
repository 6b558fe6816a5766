//! What a group has to say about the expiry and the deletion of its offsets.

use std::collections::HashSet;

use super::group::ClassicGroup;
use super::state::GroupState;
use crate::coordinator::group::offsets::Committed;
use crate::error::ErrorCode;
use crate::types::ConsumerProtocolSubscription;

const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Under which terms the offsets of a group expire.
#[derive(Debug)]
pub(crate) struct ExpiryTerms {
    /// Since when they age; `None`: each since its commit.
    since_ms: Option<i64>,
    /// Those of these topics do not.
    subscribed: HashSet<String>,
}

impl ExpiryTerms {
    pub(crate) fn has_expired(&self, topic: &str, committed: &Committed, now_ms: i64, retention_ms: i64) -> bool {
        if self.subscribed.contains(topic) {
            return false;
        }
        match committed.expire_timestamp_ms {
            Some(expire_timestamp_ms) => now_ms >= expire_timestamp_ms,
            None => {
                let since_ms = self.since_ms.unwrap_or(committed.commit_timestamp_ms);
                now_ms.saturating_sub(since_ms) >= retention_ms
            }
        }
    }
}

impl ClassicGroup {
    /// `None` while no offset of the group expires.
    pub(crate) fn expiry_terms(&self) -> Option<ExpiryTerms> {
        let (since_ms, subscribed) = match (&self.protocol_type, self.state) {
            (None, _) => (None, HashSet::new()),
            // Records of old do not tell since when.
            (Some(_), GroupState::Empty) => {
                (Some(self.state_timestamp_ms).filter(|since_ms| *since_ms >= 0), HashSet::new())
            }
            (Some(_), GroupState::Stable) => (None, self.subscribed_topics()?),
            (Some(_), _) => return None,
        };
        Some(ExpiryTerms { since_ms, subscribed })
    }

    /// Whether nobody is there and nobody is about to come.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state == GroupState::Empty && self.pending_joins.is_empty()
    }

    /// Whether offsets of the group may be deleted at all.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            GroupState::Dead => Err(ErrorCode::GroupIdNotFound),
            GroupState::Empty => Ok(()),
            _ if self.is_of_consumers() => Ok(()),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// Whether somebody in the group reads this topic, as far as its present generation tells. A group of consumers
    /// without one, or with subscriptions that cannot be read, may be reading anything.
    pub(crate) fn topic_subscriptions(&self) -> impl Fn(&str) -> bool + use<> {
        let (topics, unknown) = (self.subscribed_topics(), self.is_of_consumers());
        move |topic| topics.as_ref().map_or(unknown, |topics| topics.contains(topic))
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// What the members of this generation subscribe to; `None` where that is unknown.
    fn subscribed_topics(&self) -> Option<HashSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut topics = HashSet::new();
        for subscription in self.subscriptions.as_ref()? {
            topics.extend(ConsumerProtocolSubscription::decode_topics(subscription).ok()?);
        }
        Some(topics)
    }
}
