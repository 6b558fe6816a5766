//! Kafka's documented examples, and properties of all four assignors.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::{MemberSubscription, PartitionAssignor, RebalanceProtocol};
use crate::types::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition};
use crate::util::testing::cases;

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

fn member(id: &str, topics: &[&str]) -> MemberSubscription {
    MemberSubscription {
        member_id: id.into(),
        group_instance_id: None,
        subscription: ConsumerProtocolSubscription {
            topics: topics.iter().map(|topic| topic.to_string()).collect(),
            generation_id: -1,
            ..Default::default()
        },
    }
}

fn static_member(id: &str, instance: &str, topics: &[&str]) -> MemberSubscription {
    MemberSubscription { group_instance_id: Some(instance.into()), ..member(id, topics) }
}

fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
    topics.iter().map(|(name, count)| (name.to_string(), *count)).collect()
}

fn assign(assignor: PartitionAssignor, counts: &BTreeMap<String, i32>, members: &[MemberSubscription]) -> Assignment {
    let assignment = assignor.build().assign(counts, members);
    assignment.into_iter().map(|(member, assignment)| (member, assignment.partitions)).collect()
}

/// `[("C0", "t0-0 t1-1")]`, to be read.
fn expected(members: &[(&str, &str)]) -> Assignment {
    let partition = |text: &str| {
        let (topic, partition) = text.rsplit_once('-').unwrap();
        TopicPartition::new(topic, partition.parse().unwrap())
    };
    members.iter().map(|(id, list)| (id.to_string(), list.split_whitespace().map(partition).collect())).collect()
}

/// Lets a member say, as the assignor would have it say, that it owns these partitions since that generation.
fn owning(
    assignor: PartitionAssignor,
    member: &mut MemberSubscription,
    partitions: &[TopicPartition],
    generation: i32,
) {
    let it = assignor.build();
    let assignment = ConsumerProtocolAssignment { partitions: partitions.to_vec(), user_data: None };
    it.on_assignment(&assignment, generation);
    member.subscription.user_data = it.subscription_user_data(&member.subscription.topics);
    member.subscription.generation_id = generation;
    if it.protocols().contains(&RebalanceProtocol::Cooperative) {
        member.subscription.owned_partitions = partitions.to_vec();
    }
}

fn rejoin(assignor: PartitionAssignor, members: &mut [MemberSubscription], owned: &Assignment, generation: i32) {
    for member in members {
        if let Some(partitions) = owned.get(&member.member_id) {
            owning(assignor, member, partitions, generation);
        }
    }
}

mod documented_examples {
    use super::PartitionAssignor::{CooperativeSticky, Range, RoundRobin, Sticky};
    use super::*;

    #[test]
    fn range_gives_the_same_partition_numbers_of_each_topic() {
        let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
        assert_eq!(
            assign(Range, &counts(&[("t0", 3), ("t1", 3)]), &members),
            expected(&[("C0", "t0-0 t0-1 t1-0 t1-1"), ("C1", "t0-2 t1-2")])
        );
    }

    #[test]
    fn range_keeps_static_members_in_place_when_their_member_ids_change() {
        let counts = counts(&[("t0", 4), ("t1", 4)]);
        let topics = &["t0", "t1"][..];
        let before =
            [static_member("C1", "I1", topics), static_member("C2", "I2", topics), static_member("C3", "I3", topics)];
        assert_eq!(
            assign(Range, &counts, &before),
            expected(&[("C1", "t0-0 t0-1 t1-0 t1-1"), ("C2", "t0-2 t1-2"), ("C3", "t0-3 t1-3")])
        );
        // All restart: the coordinator hands out other member ids.
        let after =
            [static_member("C4", "I1", topics), static_member("C3", "I2", topics), static_member("C2", "I3", topics)];
        assert_eq!(
            assign(Range, &counts, &after),
            expected(&[("C4", "t0-0 t0-1 t1-0 t1-1"), ("C3", "t0-2 t1-2"), ("C2", "t0-3 t1-3")])
        );
    }

    #[test]
    fn static_members_come_before_dynamic_ones() {
        let members = [member("A", &["t"]), static_member("Z", "I", &["t"])];
        for assignor in [Range, RoundRobin] {
            let assignment = assign(assignor, &counts(&[("t", 1)]), &members);
            assert_eq!(assignment, expected(&[("A", ""), ("Z", "t-0")]), "{assignor}");
        }
    }

    #[test]
    fn round_robin_deals_equal_subscriptions_out_evenly() {
        let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
        assert_eq!(
            assign(RoundRobin, &counts(&[("t0", 3), ("t1", 3)]), &members),
            expected(&[("C0", "t0-0 t0-2 t1-1"), ("C1", "t0-1 t1-0 t1-2")])
        );
    }

    #[test]
    fn round_robin_skips_members_that_do_not_subscribe() {
        let members = [member("C0", &["t0"]), member("C1", &["t0", "t1"]), member("C2", &["t0", "t1", "t2"])];
        assert_eq!(
            assign(RoundRobin, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]), &members),
            expected(&[("C0", "t0-0"), ("C1", "t1-0"), ("C2", "t1-1 t2-0 t2-1 t2-2")])
        );
    }

    /// The first example of `StickyAssignor`'s documentation. Since the constrained algorithm, Kafka hands the lost
    /// partitions out in another order than the text says; who keeps what is the same.
    #[test]
    fn sticky_keeps_what_the_living_have() {
        let counts = counts(&[("t0", 2), ("t1", 2), ("t2", 2), ("t3", 2)]);
        let topics = &["t0", "t1", "t2", "t3"];
        let mut members = [member("C0", topics), member("C1", topics), member("C2", topics)];
        let before = assign(Sticky, &counts, &members);
        assert_eq!(before, expected(&[("C0", "t0-0 t1-1 t3-0"), ("C1", "t0-1 t2-0 t3-1"), ("C2", "t1-0 t2-1")]));

        rejoin(Sticky, &mut members, &before, 1);
        let [c0, _, c2] = members;
        assert_eq!(
            assign(Sticky, &counts, &[c0, c2]),
            expected(&[("C0", "t0-0 t0-1 t1-1 t3-0"), ("C2", "t1-0 t2-0 t2-1 t3-1")])
        );
    }

    /// The second example: where round-robin gives C2 four partitions and moves three, sticky gives three and moves one.
    #[test]
    fn sticky_balances_unequal_subscriptions() {
        let counts = counts(&[("t0", 1), ("t1", 2), ("t2", 3)]);
        let mut members = [member("C0", &["t0"]), member("C1", &["t0", "t1"]), member("C2", &["t0", "t1", "t2"])];
        let before = assign(Sticky, &counts, &members);
        assert_eq!(before, expected(&[("C0", "t0-0"), ("C1", "t1-0 t1-1"), ("C2", "t2-0 t2-1 t2-2")]));

        rejoin(Sticky, &mut members, &before, 1);
        assert_eq!(
            assign(Sticky, &counts, &members[1..]),
            expected(&[("C1", "t0-0 t1-0 t1-1"), ("C2", "t2-0 t2-1 t2-2")])
        );
    }

    /// KIP-429's picture: a second member joins, and gets its half only when the first has let go of it.
    #[test]
    fn cooperative_sticky_withholds_what_moves() {
        let counts = counts(&[("t", 4)]);
        let mut members = [member("A", &["t"]), member("B", &["t"])];
        rejoin(CooperativeSticky, &mut members, &expected(&[("A", "t-0 t-1 t-2 t-3")]), 1);
        let first = assign(CooperativeSticky, &counts, &members);
        assert_eq!(first, expected(&[("A", "t-0 t-1"), ("B", "")]));

        rejoin(CooperativeSticky, &mut members, &first, 2);
        let second = assign(CooperativeSticky, &counts, &members);
        assert_eq!(second, expected(&[("A", "t-0 t-1"), ("B", "t-2 t-3")]));
    }

    #[test]
    fn cooperative_sticky_grants_what_a_dead_member_had_at_once() {
        let mut members = [member("A", &["t"]), member("C", &["t"])];
        rejoin(CooperativeSticky, &mut members, &expected(&[("A", "t-0"), ("C", "t-2")]), 1);
        assert_eq!(
            assign(CooperativeSticky, &counts(&[("t", 4)]), &members),
            expected(&[("A", "t-0 t-1"), ("C", "t-2 t-3")])
        );
    }

    #[test]
    fn members_without_partitions_are_in_the_result() {
        let members = [member("A", &["t"]), member("B", &["t"]), member("C", &["missing"]), member("D", &[])];
        for assignor in PartitionAssignor::ALL {
            let assignment = assign(assignor, &counts(&[("t", 1), ("empty", 0)]), &members);
            assert_eq!(assignment, expected(&[("A", "t-0"), ("B", ""), ("C", ""), ("D", "")]), "{assignor}");
        }
    }
}

mod conflicting_claims {
    use super::PartitionAssignor::{CooperativeSticky, Sticky};
    use super::*;

    /// A and B both say that they own t-0.
    fn two_claims(assignor: PartitionAssignor, generation_of_a: i32, generation_of_b: i32) -> Assignment {
        let mut members = [member("A", &["t"]), member("B", &["t"])];
        owning(assignor, &mut members[0], &[("t", 0).into(), ("t", 1).into()], generation_of_a);
        owning(assignor, &mut members[1], &[("t", 0).into(), ("t", 2).into()], generation_of_b);
        assign(assignor, &counts(&[("t", 4)]), &members)
    }

    #[test]
    fn the_later_generation_wins() {
        assert_eq!(two_claims(Sticky, 5, 4), expected(&[("A", "t-0 t-1"), ("B", "t-2 t-3")]));
        assert_eq!(two_claims(Sticky, 4, 5), expected(&[("A", "t-1 t-3"), ("B", "t-0 t-2")]));
        assert_eq!(two_claims(CooperativeSticky, 4, 5), expected(&[("A", "t-1 t-3"), ("B", "t-0 t-2")]));
    }

    #[test]
    fn in_one_generation_neither_wins_and_cooperative_withholds_it() {
        assert_eq!(two_claims(Sticky, 5, 5), expected(&[("A", "t-0 t-1"), ("B", "t-2 t-3")]));
        assert_eq!(two_claims(CooperativeSticky, 5, 5), expected(&[("A", "t-1"), ("B", "t-2 t-3")]));
    }

    #[test]
    fn partitions_that_no_longer_exist_are_forgotten() {
        for assignor in [Sticky, CooperativeSticky] {
            let mut members = [member("A", &["t"])];
            let owned = [("t", 0).into(), ("t", 7).into(), ("t", -1).into(), ("gone", 0).into()];
            owning(assignor, &mut members[0], &owned, 1);
            assert_eq!(assign(assignor, &counts(&[("t", 2)]), &members), expected(&[("A", "t-0 t-1")]), "{assignor}");
        }
    }

    #[test]
    fn what_is_not_subscribed_any_more_goes_to_who_subscribes() {
        let mut members = [member("A", &["u"]), member("B", &["t", "u"])];
        owning(Sticky, &mut members[0], &[("t", 0).into(), ("u", 0).into()], 1);
        let counts = counts(&[("t", 1), ("u", 1)]);
        assert_eq!(assign(Sticky, &counts, &members), expected(&[("A", "u-0"), ("B", "t-0")]));
        // Cooperative: A has not yet let go of t-0.
        owning(CooperativeSticky, &mut members[0], &[("t", 0).into(), ("u", 0).into()], 1);
        assert_eq!(assign(CooperativeSticky, &counts, &members), expected(&[("A", "u-0"), ("B", "")]));
    }
}

#[test]
fn names_and_java_classes_are_known() {
    for assignor in PartitionAssignor::ALL {
        assert_eq!(assignor.name().parse::<PartitionAssignor>().unwrap(), assignor);
        assert_eq!(assignor.java_class().parse::<PartitionAssignor>().unwrap(), assignor);
        assert_eq!(assignor.build().name(), assignor.name());
    }
    assert!("uniform".parse::<PartitionAssignor>().unwrap_err().to_string().contains("uniform"));
}

/// A group of the size that the crate promises to assign in well under 50 ms. No clock is read here: what is asserted is
/// that the result is right; how long it takes shows in the test's own time.
#[test]
fn two_hundred_members_and_two_thousand_partitions() {
    let names: Vec<String> = (0..100).map(|topic| format!("topic-{topic}")).collect();
    let counts: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), 20)).collect();
    let everything: Vec<&str> = names.iter().map(String::as_str).collect();
    for unequal in [false, true] {
        let mut members: Vec<_> = (0..200)
            .map(|index| member(&format!("m{index}"), &everything[if unequal { index % 50 } else { 0 }..]))
            .collect();
        for assignor in PartitionAssignor::ALL {
            let first = assign(assignor, &counts, &members);
            assert_eq!(first.values().map(Vec::len).sum::<usize>(), 2000);
            rejoin(assignor, &mut members, &first, 1);
            if assignor != PartitionAssignor::Range && assignor != PartitionAssignor::RoundRobin {
                assert_eq!(assign(assignor, &counts, &members), first, "{assignor} moved something for nothing");
            }
        }
    }
}

// Properties.

#[derive(Clone, Debug)]
struct Input {
    counts: BTreeMap<String, i32>,
    members: Vec<MemberSubscription>,
}

/// Up to 5 topics of up to 9 partitions and up to 7 members, some of them static. Unless `alike`, each subscribes to
/// topics of its own, some of which do not exist.
fn input(alike: bool) -> impl Strategy<Value = Input> {
    let topics = prop::collection::vec(0..10i32, 1..6);
    let members = prop::collection::vec((any::<bool>(), prop::collection::vec(0..6usize, 0..6)), 1..8);
    (topics, members).prop_map(move |(topics, members)| {
        let counts: BTreeMap<_, _> =
            topics.iter().enumerate().map(|(index, count)| (format!("t{index}"), *count)).collect();
        let all: Vec<_> = counts.keys().cloned().collect();
        let members = (members.into_iter().enumerate())
            .map(|(index, (is_static, wanted))| {
                let wanted: BTreeSet<_> = wanted.iter().map(|topic| format!("t{topic}")).collect();
                let topics = if alike { all.clone() } else { wanted.into_iter().collect() };
                // Instance ids in the opposite order of member ids.
                MemberSubscription {
                    group_instance_id: is_static.then(|| format!("i{}", 9 - index)),
                    subscription: ConsumerProtocolSubscription { topics, generation_id: -1, ..Default::default() },
                    ..member(&format!("m{index}"), &[])
                }
            })
            .collect();
        Input { counts, members }
    })
}

fn any_assignor() -> impl Strategy<Value = PartitionAssignor> {
    prop::sample::select(PartitionAssignor::ALL.to_vec())
}

/// Says that the members own a random part of everything, each partition claimed at most once.
fn claim_at_random(assignor: PartitionAssignor, input: &mut Input, dice: &[u8]) -> Assignment {
    let mut owned: Assignment = input.members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
    let partitions =
        input.counts.iter().flat_map(|(topic, count)| (0..*count).map(|p| TopicPartition::new(topic.as_str(), p)));
    for (partition, die) in partitions.zip(dice) {
        if let Some(member) = input.members.get(*die as usize % (input.members.len() + 2)) {
            owned.get_mut(&member.member_id).unwrap().push(partition);
        }
    }
    rejoin(assignor, &mut input.members, &owned, 3);
    owned
}

fn wants(member: &MemberSubscription, topic: &str) -> bool {
    member.subscription.topics.iter().any(|wanted| wanted == topic)
}

/// Every partition of a subscribed topic once, to a subscriber; with `all` unset, at most once.
fn check_covers(input: &Input, assignment: &Assignment, all: bool) {
    let mut owner_of: HashMap<&TopicPartition, &str> = HashMap::new();
    assert_eq!(assignment.len(), input.members.len());
    for member in &input.members {
        for partition in &assignment[&member.member_id] {
            assert!(wants(member, partition.topic()), "{} did not ask for {partition}", member.member_id);
            assert!((0..input.counts[partition.topic()]).contains(&partition.partition()), "{partition} is made up");
            assert_eq!(owner_of.insert(partition, &member.member_id), None, "{partition} is given twice");
        }
    }
    if all {
        let subscribed = input.counts.iter().filter(|(topic, _)| input.members.iter().any(|m| wants(m, topic)));
        assert_eq!(owner_of.len() as i32, subscribed.map(|(_, count)| count).sum::<i32>());
    }
}

fn sizes(assignment: &Assignment) -> Vec<usize> {
    assignment.values().map(Vec::len).collect()
}

/// How many partitions the members lose.
fn lost(before: &Assignment, after: &Assignment) -> usize {
    before.iter().map(|(member, owned)| owned.iter().filter(|it| !after[member].contains(it)).count()).sum()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn invariant_33_every_partition_goes_to_exactly_one_subscriber(
        rejoins in any::<bool>(),
        dice in any::<[u8; 50]>(),
        (assignor, mut input) in (any_assignor(), prop_oneof![input(true), input(false)]),
    ) {
        check_covers(&input, &assign(assignor, &input.counts, &input.members), true);
        if rejoins {
            claim_at_random(assignor, &mut input, &dice);
        }
        let all = !rejoins || assignor != PartitionAssignor::CooperativeSticky;
        let assignment = assign(assignor, &input.counts, &input.members);
        check_covers(&input, &assignment, all);
        // Neither the order of the members nor a second run changes anything.
        input.members.reverse();
        prop_assert_eq!(assign(assignor, &input.counts, &input.members), assignment);
    }

    #[test]
    fn invariant_33_range_is_the_formula(input in input(false)) {
        let assignment = assign(PartitionAssignor::Range, &input.counts, &input.members);
        for (topic, &count) in &input.counts {
            let mut consumers: Vec<_> = input.members.iter().filter(|member| wants(member, topic)).collect();
            consumers.sort_by_key(|it| (it.group_instance_id.is_none(), it.group_instance_id.clone(), &it.member_id));
            let members = consumers.len() as i32;
            for (index, member) in consumers.iter().enumerate() {
                let index = index as i32;
                let start = count / members * index + index.min(count % members);
                let length = count / members + i32::from(index < count % members);
                let of_topic = assignment[&member.member_id].iter().filter(|it| it.topic() == topic);
                let partitions: Vec<_> = of_topic.map(TopicPartition::partition).collect();
                prop_assert_eq!(partitions, (start..start + length).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn invariant_33_round_robin_is_the_formula(input in input(true)) {
        let assignment = assign(PartitionAssignor::RoundRobin, &input.counts, &input.members);
        let mut members: Vec<_> = input.members.iter().collect();
        members.sort_by_key(|it| (it.group_instance_id.is_none(), it.group_instance_id.clone(), &it.member_id));
        let partitions = input.counts.iter().flat_map(|(topic, count)| (0..*count).map(move |it| (topic, it)));
        for (index, (topic, partition)) in partitions.enumerate() {
            let owner = &members[index % members.len()].member_id;
            prop_assert!(assignment[owner].contains(&TopicPartition::new(topic.as_str(), partition)));
        }
    }

    #[test]
    fn invariant_33_sticky_is_balanced_and_moves_the_least_when_subscriptions_are_equal(
        mut input in input(true),
        dice in any::<[u8; 50]>(),
    ) {
        let before = claim_at_random(PartitionAssignor::Sticky, &mut input, &dice);
        let after = assign(PartitionAssignor::Sticky, &input.counts, &input.members);
        let sizes = sizes(&after);
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);

        // Whoever had most may keep the higher share; everyone gives up what they have above their own, no more.
        let total: usize = sizes.iter().sum();
        let mut had: Vec<usize> = before.values().map(Vec::len).collect();
        had.sort_unstable_by(|left, right| right.cmp(left));
        let share = |index| total / had.len() + usize::from(index < total % had.len());
        let least: usize = had.iter().enumerate().map(|(index, had)| had.saturating_sub(share(index))).sum();
        prop_assert_eq!(lost(&before, &after), least);
    }

    #[test]
    fn invariant_33_sticky_moves_the_least_when_members_come_and_go(mut input in input(true), leaves in 0..8usize) {
        let all = assign(PartitionAssignor::Sticky, &input.counts, &input.members);
        rejoin(PartitionAssignor::Sticky, &mut input.members, &all, 1);
        if input.members.len() > 1 {
            // Nobody who stays loses anything.
            let mut rest = input.members.clone();
            let gone = rest.remove(leaves % rest.len());
            let after = assign(PartitionAssignor::Sticky, &input.counts, &rest);
            let mut before = all.clone();
            before.remove(&gone.member_id);
            prop_assert_eq!(lost(&before, &after), 0);
        }
        // The newcomer gets its share, and nothing else moves.
        let mut newcomer = input.members[0].clone();
        newcomer.member_id = "new".into();
        newcomer.subscription.user_data = None;
        input.members.push(newcomer);
        let after = assign(PartitionAssignor::Sticky, &input.counts, &input.members);
        prop_assert_eq!(lost(&all, &after), after["new"].len());
    }

    #[test]
    fn invariant_33_sticky_is_as_balanced_as_single_moves_can_make_it_when_subscriptions_differ(
        mut input in input(false),
        dice in any::<[u8; 50]>(),
    ) {
        claim_at_random(PartitionAssignor::Sticky, &mut input, &dice);
        let after = assign(PartitionAssignor::Sticky, &input.counts, &input.members);
        for partitions in after.values() {
            for partition in partitions {
                for other in input.members.iter().filter(|member| wants(member, partition.topic())) {
                    prop_assert!(partitions.len() <= after[&other.member_id].len() + 1, "{:?}", after);
                }
            }
        }
        // And so it stays.
        rejoin(PartitionAssignor::Sticky, &mut input.members, &after, 4);
        prop_assert_eq!(assign(PartitionAssignor::Sticky, &input.counts, &input.members), after);
    }

    #[test]
    fn invariant_29_cooperative_grants_a_partition_only_after_its_owner_let_go(
        mut input in prop_oneof![input(true), input(false)],
        dice in any::<[u8; 50]>(),
    ) {
        let cooperative = PartitionAssignor::CooperativeSticky;
        let mut owned = claim_at_random(cooperative, &mut input, &dice);
        let mut moving = usize::MAX;
        for generation in 4.. {
            let granted = assign(cooperative, &input.counts, &input.members);
            for (member, partitions) in &granted {
                for partition in partitions {
                    let others = owned.iter().filter(|(other, _)| *other != member);
                    let held_by: Vec<_> = others.filter(|(_, held)| held.contains(partition)).collect();
                    prop_assert!(held_by.is_empty(), "{} got {} while {:?}", member, partition, held_by);
                }
            }
            // Members revoke what is not theirs any more, and then take what was granted.
            let revoked = lost(&owned, &granted);
            owned = granted;
            if revoked == 0 {
                break;
            }
            prop_assert!(generation < 8 && revoked <= moving, "does not settle: {} partitions still move", revoked);
            moving = revoked;
            rejoin(cooperative, &mut input.members, &owned, generation);
        }
        check_covers(&input, &owned, true);
    }

    /// Members come, go and change their minds, and topics grow, while partitions are still on their way.
    #[test]
    fn invariant_29_cooperative_holds_while_members_come_and_go(
        mut input in prop_oneof![input(true), input(false)],
        changes in prop::collection::vec((0..4u8, any::<u8>()), 1..12),
    ) {
        let cooperative = PartitionAssignor::CooperativeSticky;
        let mut owned: Assignment = input.members.iter().map(|it| (it.member_id.clone(), Vec::new())).collect();
        let mut generation = 0;
        let mut round = |input: &mut Input, owned: &mut Assignment| {
            generation += 1;
            let granted = assign(cooperative, &input.counts, &input.members);
            check_covers(input, &granted, false);
            for (member, partition) in granted.iter().flat_map(|(member, own)| own.iter().map(move |it| (member, it))) {
                let held_by = owned.iter().find(|(other, held)| *other != member && held.contains(partition));
                assert!(held_by.is_none(), "{member} got {partition} while {held_by:?}");
            }
            let revoked = lost(owned, &granted);
            *owned = granted;
            rejoin(cooperative, &mut input.members, owned, generation);
            revoked
        };
        for (number, (change, die)) in changes.into_iter().enumerate() {
            let at = usize::from(die) % input.members.len();
            match change {
                0 => {
                    let mut newcomer = input.members[at].clone();
                    newcomer.member_id = format!("new{number}");
                    newcomer.group_instance_id = None;
                    newcomer.subscription.owned_partitions.clear();
                    newcomer.subscription.generation_id = -1;
                    owned.insert(newcomer.member_id.clone(), Vec::new());
                    input.members.push(newcomer);
                }
                1 if input.members.len() > 1 => {
                    owned.remove(&input.members.remove(at).member_id);
                }
                2 => {
                    // It gives up the topic that it no longer wants before it rejoins.
                    let member = &mut input.members[at];
                    let given_up = member.subscription.topics.pop();
                    let is_kept = |it: &TopicPartition| given_up.as_deref() != Some(it.topic());
                    owned.get_mut(&member.member_id).unwrap().retain(is_kept);
                    member.subscription.owned_partitions.retain(is_kept);
                }
                _ => {
                    if let Some(count) = input.counts.values_mut().nth(at) {
                        *count += 2;
                    }
                }
            }
            round(&mut input, &mut owned);
        }
        let rounds = (0..20).take_while(|_| round(&mut input, &mut owned) > 0).count();
        prop_assert!(rounds < 20, "does not settle");
        // What was revoked last is granted now.
        round(&mut input, &mut owned);
        check_covers(&input, &owned, true);
    }

    #[test]
    fn invariant_29_two_cooperative_rounds_reach_the_sticky_balance_when_subscriptions_are_equal(
        mut input in input(true),
        dice in any::<[u8; 50]>(),
    ) {
        let cooperative = PartitionAssignor::CooperativeSticky;
        claim_at_random(cooperative, &mut input, &dice);
        let first = assign(cooperative, &input.counts, &input.members);
        rejoin(cooperative, &mut input.members, &first, 4);
        let second = assign(cooperative, &input.counts, &input.members);
        check_covers(&input, &second, true);
        prop_assert_eq!(lost(&first, &second), 0);
        let sizes = sizes(&second);
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
    }
}
