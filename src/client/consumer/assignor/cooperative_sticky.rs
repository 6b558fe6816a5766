//! `cooperative-sticky`: the sticky assignment, reached in two rebalances so that nobody stops reading what stays.
//!
//! In the first one a partition that moves is left out of everybody's assignment; its old owner sees that, revokes it
//! and rejoins; in the second one it is free and goes to its new owner (KIP-429).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;

use super::claims::{Claims, Owned};
use super::group::Group;
use super::sticky::{NO_GENERATION, balanced_placement};
use super::{Assignor, MemberSubscription, RebalanceProtocol};
use crate::types::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::util::codec::{Reader, Writer};

pub(super) const NAME: &str = "cooperative-sticky";

/// Remembers its member's last generation, for leaders that read subscriptions older than version 2.
#[derive(Debug)]
pub(super) struct CooperativeStickyAssignor {
    generation: AtomicI32,
}

impl Default for CooperativeStickyAssignor {
    fn default() -> Self {
        Self { generation: AtomicI32::new(NO_GENERATION) }
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn protocols(&self) -> &'static [RebalanceProtocol] {
        &[RebalanceProtocol::Cooperative, RebalanceProtocol::Eager]
    }

    fn subscription_user_data(&self, _topics: &[String]) -> Option<Bytes> {
        let mut writer = Writer::new();
        writer.i32(self.generation.load(Ordering::Relaxed));
        Some(writer.into_bytes())
    }

    fn on_assignment(&self, _assignment: &ConsumerProtocolAssignment, generation: i32) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    fn assign(
        &self,
        partition_counts: &BTreeMap<String, i32>,
        members: &[MemberSubscription],
    ) -> HashMap<String, ConsumerProtocolAssignment> {
        let group = Group::by_member_id(partition_counts, members);
        let owned: Vec<_> = group.members.iter().map(|member| owned(&member.subscription)).collect();
        let claims = Claims::new(&group, &owned);
        let mut placement = balanced_placement(&group, &claims);
        claims.withhold_moving(&mut placement);
        group.assignments(&placement)
    }
}

/// The subscription itself says what the member owns; before version 2, only the user data knows since when.
fn owned(subscription: &ConsumerProtocolSubscription) -> Owned {
    let generation = match subscription.generation_id {
        generation @ 0.. => generation,
        _ => Reader::new(subscription.user_data.as_deref().unwrap_or_default()).i32().unwrap_or(NO_GENERATION),
    };
    Owned { partitions: subscription.owned_partitions.clone(), generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_the_generation() {
        let assignor = CooperativeStickyAssignor::default();
        assert_eq!(assignor.subscription_user_data(&[]).unwrap()[..], [0xff; 4]);
        assignor.on_assignment(&ConsumerProtocolAssignment::default(), 258);
        assert_eq!(assignor.subscription_user_data(&[]).unwrap()[..], [0, 0, 1, 2]);
    }

    #[test]
    fn the_generation_comes_from_the_subscription_or_else_from_the_user_data() {
        let user_data = Some(Bytes::from_static(&[0, 0, 0, 9]));
        let subscription = |generation_id, user_data| ConsumerProtocolSubscription {
            user_data,
            generation_id,
            ..ConsumerProtocolSubscription::default()
        };
        assert_eq!(owned(&subscription(4, user_data.clone())).generation, 4);
        assert_eq!(owned(&subscription(-1, user_data)).generation, 9);
        assert_eq!(owned(&subscription(-1, None)).generation, -1);
    }
}
