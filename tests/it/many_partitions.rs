//! A consumer of many partitions: those that stand still report when they move, and none is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use brokerless::{AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ProducerConfig, ProducerRecord};
use proptest::prelude::*;

use crate::consumer::{cluster, t};
use crate::testing::cases;

const PARTITIONS: i32 = 150;

#[derive(Clone, Debug)]
enum Step {
    Send(i32, usize),
    /// To so many partitions from one on.
    SendToMany(i32, i32),
    Poll,
    /// Sent while the consumer waits.
    PollAndSend(i32),
    Pause(i32, i32),
    Resume(i32, i32),
    /// Back by so many records.
    SeekBack(i32, i64),
    Reassign(i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = || 0..PARTITIONS;
    let step = prop_oneof![
        4 => (one(), 1..20usize).prop_map(|(partition, count)| Step::Send(partition, count)),
        2 => (one(), 1..PARTITIONS).prop_map(|(from, count)| Step::SendToMany(from, count)),
        6 => Just(Step::Poll),
        3 => one().prop_map(Step::PollAndSend),
        1 => (one(), 1..PARTITIONS).prop_map(|(from, count)| Step::Pause(from, count)),
        2 => (one(), 1..PARTITIONS).prop_map(|(from, count)| Step::Resume(from, count)),
        2 => (one(), 1..10i64).prop_map(|(partition, count)| Step::SeekBack(partition, count)),
        1 => (1..=PARTITIONS).prop_map(Step::Reassign),
    ];
    proptest::collection::vec(step, 0..60)
}

async fn send(cluster: &Cluster, partition: i32, count: usize) {
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for _ in 0..count {
        producer.send(ProducerRecord::to("t").partition(partition % PARTITIONS).value("v")).await.unwrap();
    }
    producer.flush().await.unwrap();
}

/// Notes where each partition is, and that polls neither skip nor repeat.
async fn poll(consumer: &mut Consumer, next: &mut BTreeMap<i32, i64>, timeout: Duration) -> usize {
    let records = consumer.poll(timeout).await.unwrap();
    for record in &records {
        let next = next.entry(record.partition()).or_default();
        assert_eq!(record.offset(), *next, "of partition {}", record.partition());
        *next += 1;
    }
    records.len()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..cases(32) })]

    #[test]
    fn none_is_forgotten(steps in steps(), max_poll_records in prop_oneof![Just(3), Just(100), Just(1000)],
        min_bytes in prop_oneof![3 => Just(1), 1 => Just(2000)], fetch_max_bytes in prop_oneof![Just(500), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cluster = cluster(PARTITIONS).await;
            let config = ConsumerConfig::default()
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .max_poll_records(max_poll_records)
                .fetch_min_bytes(min_bytes)
                .fetch_max_bytes(fetch_max_bytes);
            let mut consumer = cluster.consumer(config).unwrap();
            consumer.assign((0..PARTITIONS).map(t)).unwrap();
            let (mut next, mut sent) = (BTreeMap::<i32, i64>::new(), BTreeMap::<i32, i64>::new());
            let range = |from: i32, count: i32| (from..from + count).map(|index| index % PARTITIONS);
            for step in steps {
                let assigned = |index: &i32, consumer: &Consumer| consumer.assignment().contains(&t(*index));
                match step {
                    Step::Send(partition, count) => {
                        send(&cluster, partition, count).await;
                        *sent.entry(partition).or_default() += count as i64;
                    }
                    Step::SendToMany(from, count) => {
                        for partition in range(from, count) {
                            send(&cluster, partition, 1).await;
                            *sent.entry(partition).or_default() += 1;
                        }
                    }
                    Step::Poll => drop(poll(&mut consumer, &mut next, Duration::from_millis(10)).await),
                    Step::PollAndSend(partition) => {
                        let poll = poll(&mut consumer, &mut next, Duration::from_secs(5));
                        tokio::join!(poll, async {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            send(&cluster, partition, 1).await;
                        });
                        *sent.entry(partition).or_default() += 1;
                    }
                    Step::Pause(from, count) => {
                        let paused = range(from, count).filter(|index| assigned(index, &consumer)).map(t);
                        consumer.pause(paused.collect::<Vec<_>>()).unwrap();
                    }
                    Step::Resume(from, count) => {
                        let resumed = range(from, count).filter(|index| assigned(index, &consumer)).map(t);
                        consumer.resume(resumed.collect::<Vec<_>>()).unwrap();
                    }
                    Step::SeekBack(partition, count) if assigned(&partition, &consumer) => {
                        let position = next.entry(partition).or_default();
                        *position = (*position - count).max(0);
                        consumer.seek(t(partition), *position).unwrap();
                    }
                    Step::SeekBack(..) => {}
                    Step::Reassign(count) => {
                        consumer.assign((0..count).map(t)).unwrap();
                        // Those that are assigned again begin again.
                        next.retain(|index, _| *index < count);
                    }
                }
            }
            consumer.assign((0..PARTITIONS).map(t)).unwrap();
            consumer.resume(consumer.assignment()).unwrap();
            while poll(&mut consumer, &mut next, Duration::from_secs(1)).await > 0 {}
            next.retain(|_, next| *next > 0);
            assert_eq!(next, sent);
            // And one that comes now wakes the consumer.
            let (polled, ()) = tokio::join!(poll(&mut consumer, &mut next, Duration::from_secs(60)), async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                send(&cluster, 77, 1).await;
            });
            assert_eq!(polled, 1);
        });
    }
}
