//! The sticky assignment of a group whose members subscribe to different topics.
//!
//! Everyone keeps what they own and still subscribe to. Free partitions go to the consumer with the least, those of
//! topics with few consumers first. Then partitions move from members with much to members with little, as long as one
//! move helps: the end is Kafka's notion of balance, where nobody could take a partition from someone who holds two
//! more. What already has to move is moved before what would stay.

use super::claims::Claims;
use super::group::{Group, Placement, Topic};

pub(super) fn assign(group: &Group<'_>, claims: &Claims) -> Placement {
    let mut assignment = Assignment { load: vec![0; group.members.len()], placement: group.empty_placement(), claims };
    let mut order: Vec<usize> = (0..group.topics.len()).collect();
    order.sort_by_key(|topic| group.topics[*topic].consumers.len());
    for &topic in &order {
        assignment.keep(topic, &group.topics[topic]);
    }
    for &topic in &order {
        assignment.place_free(topic, &group.topics[topic]);
    }
    for scope in [Scope::Moving, Scope::All] {
        // Ends because every move lowers the sum of squared loads.
        loop {
            let mut moved = false;
            for &topic in &order {
                moved |= assignment.level(topic, &group.topics[topic], scope);
            }
            if !moved {
                break;
            }
        }
    }
    assignment.placement
}

/// Which partitions may be moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those that are not with the member that owned them.
    Moving,
    All,
}

struct Assignment<'a> {
    /// How many partitions each member has.
    load: Vec<usize>,
    placement: Placement,
    claims: &'a Claims,
}

impl Assignment<'_> {
    fn keep(&mut self, index: usize, topic: &Topic) {
        for partition in 0..topic.partitions {
            if let Some(owner) = self.claims.owner(index, partition)
                && topic.consumers.binary_search(&owner).is_ok()
            {
                self.placement[index][partition] = Some(owner);
                self.load[owner] += 1;
            }
        }
    }

    fn place_free(&mut self, index: usize, topic: &Topic) {
        for slot in self.placement[index].iter_mut().filter(|slot| slot.is_none()) {
            let consumer = least_loaded(&self.load, topic);
            self.load[consumer] += 1;
            *slot = Some(consumer);
        }
    }

    /// Moves partitions of one topic until no further move helps; whether there was any.
    fn level(&mut self, index: usize, topic: &Topic, scope: Scope) -> bool {
        let mut moved = false;
        loop {
            let to = least_loaded(&self.load, topic);
            // Among equally loaded holders, one that gives up what it never had; and what `to` had before all else.
            let candidate = (0..topic.partitions)
                .filter_map(|partition| {
                    let from = self.placement[index][partition]?;
                    let owner = self.claims.owner(index, partition);
                    let stays = owner == Some(from);
                    (scope == Scope::All || !stays).then_some((self.load[from], !stays, owner == Some(to), partition))
                })
                .max();
            match candidate {
                Some((load, _, _, partition)) if load > self.load[to] + 1 => {
                    let from = self.placement[index][partition].replace(to).expect("chosen because it is placed");
                    self.load[from] -= 1;
                    self.load[to] += 1;
                    moved = true;
                }
                _ => return moved,
            }
        }
    }
}

/// The consumer of the topic with the fewest partitions; of equals, the first by member id.
fn least_loaded(load: &[usize], topic: &Topic) -> usize {
    *topic.consumers.iter().min_by_key(|consumer| load[**consumer]).expect("a topic of a group has consumers")
}
