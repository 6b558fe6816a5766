//! The history and its checker beside real clients.

use std::time::Duration;

use brokerless::testing::History;
use brokerless::testing::history::AnomalyKind;
use brokerless::{AutoOffsetReset, Cluster, ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

const RECORDS: usize = 500;

async fn cluster() -> Cluster {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("orders").partitions(3)).await.unwrap();
    cluster
}

async fn send(cluster: &Cluster, history: &History) {
    let (producer, sends) = (cluster.producer(ProducerConfig::default()).unwrap(), history.producer("shop"));
    let mut deliveries = Vec::new();
    for index in 0..RECORDS {
        let (key, value) = (format!("{}", index % 17), format!("order {index}"));
        deliveries.push(sends.send(&producer, ProducerRecord::to("orders").key(&key).value(&value)).await.unwrap());
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

fn config(group: &str) -> ConsumerConfig {
    ConsumerConfig::group(group).auto_offset_reset(AutoOffsetReset::Earliest).max_poll_records(20)
}

#[tokio::test(start_paused = true)]
async fn a_group_with_churn_leaves_a_valid_history() {
    let (cluster, history) = (cluster().await, History::new());
    send(&cluster, &history).await;
    let (mut first, first_polls) = (cluster.consumer(config("billing")).unwrap(), history.consumer("first"));
    first.subscribe_with_listener(["orders"], first_polls.listener()).unwrap();
    let mut read = 0;
    while read < RECORDS / 3 {
        read += first_polls.poll(&mut first, Duration::from_secs(1)).await.unwrap().len();
    }
    // Another member takes some of the partitions and reads on, and the first is gone before it has committed.
    let (mut second, second_polls) = (cluster.consumer(config("billing")).unwrap(), history.consumer("second"));
    second.subscribe_with_listener(["orders"], second_polls.listener()).unwrap();
    let both = async {
        while second.assignment().is_empty() {
            let (polled, also) = tokio::join!(
                first_polls.poll(&mut first, Duration::from_millis(100)),
                second_polls.poll(&mut second, Duration::from_millis(100))
            );
            polled.unwrap();
            also.unwrap();
        }
    };
    both.await;
    drop(first);
    loop {
        second_polls.poll(&mut second, Duration::from_secs(60)).await.unwrap();
        let assigned = second.assignment();
        if assigned.len() == 3
            && assigned.into_iter().all(|partition| second.current_lag(partition).unwrap() == Some(0))
        {
            break;
        }
    }
    let report = history.check();
    report.assert_valid();
    assert_eq!((report.sends(), report.acknowledged()), (RECORDS, RECORDS));
    assert!(report.polled() >= RECORDS);
}

/// A listener that is missing: the history must notice that the consumer went back.
#[tokio::test]
async fn a_seek_that_is_not_told_is_found() {
    let (cluster, history) = (cluster().await, History::new());
    send(&cluster, &history).await;
    let (mut consumer, polls) = (cluster.consumer(config("g")).unwrap(), history.consumer("c"));
    consumer.assign((0..3).map(|partition| ("orders", partition))).unwrap();
    let mut read = 0;
    while read < RECORDS {
        read += polls.poll(&mut consumer, Duration::from_secs(5)).await.unwrap().len();
    }
    history.check().assert_valid();
    consumer.seek(("orders", 0), 0).unwrap();
    assert!(!polls.poll(&mut consumer, Duration::from_secs(5)).await.unwrap().is_empty());
    let report = history.check();
    assert_eq!(report.count(AnomalyKind::NonmonotonicPoll), report.anomalies().len());
    assert_eq!(report.anomalies().len(), 1);
    assert_eq!((report.anomalies()[0].topic_partition().partition(), report.anomalies()[0].offset()), (0, 0));
}
