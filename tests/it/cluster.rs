//! The cluster itself: start, drop, shutdown, time.

use std::time::Duration;

use brokerless::{
    Admin, AutoOffsetReset, Cluster, Consumer, ConsumerConfig, Delivery, Error, ErrorCode, NewTopic, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};

fn assert_send_sync<T: Send + Sync>() {}

#[test]
fn everything_public_is_send_and_sync() {
    assert_send_sync::<Cluster>();
    assert_send_sync::<Admin>();
    assert_send_sync::<Producer>();
    assert_send_sync::<Consumer>();
    assert_send_sync::<Delivery>();
    assert_send_sync::<Error>();
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn dropping_a_cluster_and_its_clients_leaves_no_task_behind() {
    assert_eq!(alive_tasks(), 0);
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t").partitions(2)).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    while consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty() {}
    assert!(alive_tasks() > 0, "timers run while the cluster lives");
    drop((producer, consumer));
    drop(cluster);
    settle().await;
    assert_eq!(alive_tasks(), 0);
}

#[test]
fn a_cluster_starts_outside_of_a_runtime_and_a_client_says_what_it_needs() {
    let cluster = Cluster::in_memory();
    let error = cluster.producer(ProducerConfig::default()).unwrap_err();
    assert!(error.is_illegal_state(), "{error:?}");
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    // Inside of one it works, and goes on working in the next runtime.
    for round in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let topic = format!("t{round}");
            cluster.admin().create_topic(NewTopic::new(&topic)).await.unwrap();
            let producer = cluster.producer(ProducerConfig::default()).unwrap();
            let delivery = producer.send(ProducerRecord::to(topic.as_str()).value("v")).await.unwrap();
            assert_eq!(delivery.await.unwrap().offset(), 0);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_cluster_says_so() {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let mut consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    cluster.shutdown().await;
    let error = cluster.admin().create_topic(NewTopic::new("u")).await.unwrap_err();
    assert!(error.is_closed(), "{error:?}");
    let error = match producer.send(ProducerRecord::to("t").value("v")).await {
        Ok(delivery) => delivery.await.unwrap_err(),
        Err(error) => error.into(),
    };
    assert!(error.is_closed(), "{error:?}");
    let error = consumer.poll(Duration::from_secs(1)).await.unwrap_err();
    assert!(error.is_closed(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_broker_property_is_refused() {
    let error = Cluster::builder().broker_property("no.such.thing", "1").start().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig);
    assert!(error.to_string().contains("no.such.thing"), "{error}");
}

/// `retention.ms` is applied by the clock: a week passes in virtual time, and the records with it.
#[tokio::test(start_paused = true)]
async fn retention_follows_virtual_time() {
    let cluster = Cluster::in_memory();
    let admin = cluster.admin();
    admin.create_topic(NewTopic::new("t").config("retention.ms", "60000")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    for _ in 0..3 {
        producer.send(ProducerRecord::to("t").value("old")).await.unwrap();
    }
    producer.flush().await.unwrap();
    let consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    let partition = TopicPartition::new("t", 0);
    let beginning = |map: std::collections::BTreeMap<TopicPartition, i64>| map[&TopicPartition::new("t", 0)];
    assert_eq!(beginning(consumer.beginning_offsets(std::slice::from_ref(&partition)).await.unwrap()), 0);
    // Retention is checked every log.retention.check.interval.ms, five minutes.
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(beginning(consumer.beginning_offsets(std::slice::from_ref(&partition)).await.unwrap()), 3);
    assert_eq!(beginning(consumer.end_offsets([partition]).await.unwrap()), 3);
}

/// Invariant 52: a topic that is deleted and created again starts empty under a new id.
#[tokio::test(start_paused = true)]
async fn invariant_52_a_recreated_topic_holds_nothing_of_the_old_one() {
    let cluster = Cluster::in_memory();
    let admin = cluster.admin();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let mut ids = Vec::new();
    for round in ["first", "second"] {
        admin.create_topic(NewTopic::new("t")).await.unwrap();
        ids.push(admin.describe_topic("t").await.unwrap().topic_id());
        let metadata = producer.send(ProducerRecord::to("t").value(round)).await.unwrap().await.unwrap();
        assert_eq!(metadata.offset(), 0);
        let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
        let mut consumer = cluster.consumer(config).unwrap();
        consumer.assign([("t", 0)]).unwrap();
        let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
        let values: Vec<_> = records.iter().map(|record| record.value().unwrap().to_vec()).collect();
        assert_eq!(values, [round.as_bytes()]);
        admin.delete_topic("t").await.unwrap();
    }
    assert_ne!(ids[0], ids[1]);
}

/// The same seed makes the same random choices.
#[tokio::test(start_paused = true)]
async fn a_seed_makes_ids_repeatable() {
    let mut ids = Vec::new();
    for seed in [7, 7, 8] {
        let cluster = Cluster::builder().seed(seed).start().await.unwrap();
        cluster.admin().create_topic(NewTopic::new("t")).await.unwrap();
        ids.push((cluster.cluster_id().to_owned(), cluster.admin().describe_topic("t").await.unwrap().topic_id()));
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}
