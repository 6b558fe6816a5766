//! The sticky assignment of a group whose members all subscribe to the same topics.
//!
//! Of `n` members and `p` partitions, `p % n` members get one more than `p / n`. Everyone keeps what they have up to
//! their share; what is then free goes round to whoever has less. No other balanced assignment moves less.

use std::collections::VecDeque;

use super::claims::Claims;
use super::group::{Group, Placement};

/// The work in progress. `low` and `high` are the two shares that a balanced assignment can give; they differ by one,
/// unless the partitions divide evenly.
struct Shares {
    low: usize,
    high: usize,
    /// How many members more may get `high`.
    high_left: usize,
    /// Members below `low`.
    under: Vec<usize>,
    /// Members at `low` that may still get one more.
    at_low: VecDeque<usize>,
}

pub(super) fn assign(group: &Group<'_>, claims: &Claims) -> Placement {
    let total: usize = group.topics.iter().map(|topic| topic.partitions).sum();
    let members = group.members.len();
    let mut placement = group.empty_placement();
    if total == 0 {
        return placement;
    }
    let mut shares = Shares {
        low: total / members,
        high: total.div_ceil(members),
        high_left: total % members,
        under: Vec::new(),
        at_low: VecDeque::new(),
    };
    let mut held = vec![0; members];
    for (member, owned) in owned_by_member(group, claims).into_iter().enumerate() {
        let kept = shares.keep(member, owned.len());
        held[member] = kept;
        for (partition, topic) in &owned[..kept] {
            placement[*topic][*partition] = Some(member);
        }
    }
    let mut turn = 0;
    for slot in placement.iter_mut().flatten().filter(|slot| slot.is_none()) {
        let member = shares.next(&mut turn, &mut held);
        *slot = Some(member);
    }
    debug_assert!(held.iter().all(|held| (shares.low..=shares.high).contains(held)));
    placement
}

/// What each member owns, in the order in which it keeps: by partition, then by topic, so that someone who has to give
/// gives from the end of every topic alike.
fn owned_by_member(group: &Group<'_>, claims: &Claims) -> Vec<Vec<(usize, usize)>> {
    let mut owned = vec![Vec::new(); group.members.len()];
    for (index, topic) in group.topics.iter().enumerate() {
        for partition in 0..topic.partitions {
            if let Some(owner) = claims.owner(index, partition) {
                owned[owner].push((partition, index));
            }
        }
    }
    owned.iter_mut().for_each(|owned| owned.sort_unstable());
    owned
}

impl Shares {
    /// How many of its `owned` partitions a member keeps.
    fn keep(&mut self, member: usize, owned: usize) -> usize {
        if owned < self.low {
            self.under.push(member);
            owned
        } else if owned >= self.high && self.high_left > 0 {
            self.high_left -= 1;
            if self.high_left == 0 {
                self.at_low.clear();
            }
            self.high
        } else {
            if self.high_left > 0 {
                self.at_low.push_back(member);
            }
            self.low
        }
    }

    /// Who gets the next free partition: the members below the low share in turn, then those that may have one more.
    fn next(&mut self, turn: &mut usize, held: &mut [usize]) -> usize {
        let member = if self.under.is_empty() {
            self.at_low.pop_front().expect("shares add up to the number of partitions")
        } else {
            *turn %= self.under.len();
            self.under[*turn]
        };
        held[member] += 1;
        if held[member] == self.low {
            self.under.remove(*turn);
            self.at_low.push_back(member);
        } else {
            *turn += 1;
        }
        member
    }
}
