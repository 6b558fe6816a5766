//! Which brokers hold the replicas of new partitions.

use std::collections::BTreeMap;

use crate::controller::BrokerImage;
use crate::types::BrokerId;

/// Places `partitions` new partitions, the preferred leader of each first: round robin over the unfenced brokers from a
/// random start, so that every broker leads its share. Followers start one place further on each time round, so that
/// one broker's partitions have their followers on all others. Fenced brokers follow where the unfenced are too few.
/// Racks are not looked at. `Err` is Kafka's text for `INVALID_REPLICATION_FACTOR`.
pub(crate) fn place(
    brokers: &BTreeMap<BrokerId, BrokerImage>,
    partitions: usize,
    replication_factor: usize,
    rng: &mut fastrand::Rng,
) -> Result<Vec<Vec<BrokerId>>, String> {
    let (fenced, unfenced): (Vec<_>, Vec<_>) = brokers.values().partition(|broker| broker.fenced);
    if unfenced.is_empty() {
        return Err("All brokers are currently fenced.".to_owned());
    }
    if replication_factor > brokers.len() {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
             registered.",
            brokers.len()
        ));
    }
    let count = unfenced.len();
    let start = rng.usize(..count);
    let place_one = |index: usize| {
        let leader = start + index;
        // A follower's distance from the leader is 1 to count - 1.
        let follower = |nth: usize| unfenced[(leader + 1 + (index / count + nth) % (count - 1)) % count];
        let unfenced_followers = (0..count - 1).map(follower);
        let fenced_followers = (0..fenced.len()).map(|nth| fenced[(index + nth) % fenced.len()]);
        let replicas = std::iter::once(unfenced[leader % count]).chain(unfenced_followers).chain(fenced_followers);
        replicas.take(replication_factor).map(|broker| broker.id).collect()
    };
    Ok((0..partitions).map(place_one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(unfenced: i32, fenced: i32) -> BTreeMap<BrokerId, BrokerImage> {
        let broker =
            |id| BrokerImage { id: BrokerId(id), epoch: 0, incarnation_id: 0, fenced: id > unfenced, rack: None };
        (1..=unfenced + fenced).map(|id| (BrokerId(id), broker(id))).collect()
    }

    #[test]
    fn one_broker_holds_everything() {
        let placed = place(&brokers(1, 0), 3, 1, &mut fastrand::Rng::with_seed(1)).unwrap();
        assert_eq!(placed, vec![vec![BrokerId(1)]; 3]);
    }

    #[test]
    fn leaders_and_replicas_are_spread_evenly() {
        for seed in 0..20 {
            let placed = place(&brokers(4, 0), 12, 3, &mut fastrand::Rng::with_seed(seed)).unwrap();
            let count = |broker, of: &dyn Fn(&Vec<BrokerId>) -> usize| -> usize {
                placed.iter().filter(|replicas| replicas.contains(&broker)).map(of).sum()
            };
            for id in 1..=4 {
                let broker = BrokerId(id);
                assert_eq!(count(broker, &|replicas| usize::from(replicas[0] == broker)), 3);
                assert_eq!(count(broker, &|_| 1), 9);
            }
            // Not the same followers for one leader each time.
            let first = placed[0][0];
            let mut followers: Vec<_> = placed.iter().filter(|replicas| replicas[0] == first).collect();
            followers.dedup();
            assert_eq!(followers.len(), 3);
        }
    }

    #[test]
    fn fenced_brokers_only_fill_up() {
        let placed = place(&brokers(2, 1), 4, 3, &mut fastrand::Rng::with_seed(7)).unwrap();
        for replicas in &placed {
            assert_eq!(replicas[2], BrokerId(3));
            assert_ne!(replicas[0], replicas[1]);
        }
    }

    #[test]
    fn refusals_read_as_kafkas() {
        let rng = &mut fastrand::Rng::with_seed(1);
        assert_eq!(place(&brokers(0, 2), 1, 1, rng).unwrap_err(), "All brokers are currently fenced.");
        assert_eq!(
            place(&brokers(1, 0), 1, 3, rng).unwrap_err(),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered."
        );
    }
}
