//! Topics that are created because a client asks for them.

use std::time::Duration;

use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord,
    TopicPartition,
};

async fn start() -> Cluster {
    let builder = Cluster::builder().broker_property("auto.create.topics.enable", "true");
    builder.broker_property("num.partitions", "3").start().await.unwrap()
}

fn consumer(cluster: &Cluster, allow: &str) -> Consumer {
    let properties = [
        ("group.id", "g"),
        ("auto.offset.reset", "earliest"),
        ("allow.auto.create.topics", allow),
        ("default.api.timeout.ms", "100"),
    ];
    cluster.consumer(ConsumerConfig::from_properties(properties).unwrap()).unwrap()
}

async fn topics(cluster: &Cluster) -> Vec<String> {
    cluster.admin().list_topics().await.unwrap().iter().map(|topic| topic.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_is_off_unless_the_broker_says_otherwise() {
    let cluster = Cluster::in_memory();
    let producer = cluster.producer(ProducerConfig::default().max_block(Duration::from_secs(1))).unwrap();
    let refused = producer.send(ProducerRecord::to("t").value("v")).await.unwrap_err();
    assert!(refused.error().is_timeout());
    let mut consumer = consumer(&cluster, "true");
    consumer.subscribe(["t"]).unwrap();
    assert!(consumer.poll(Duration::from_secs(1)).await.unwrap().is_empty());
    assert_eq!(consumer.partitions_for("t").await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert!(topics(&cluster).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn sending_creates_the_topic() {
    let cluster = start().await;
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let metadata = producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    assert_eq!((metadata.topic(), metadata.offset()), ("t", 0));
    let topic = cluster.admin().describe_topic("t").await.unwrap();
    assert_eq!((topic.partitions().len(), topic.replication_factor()), (3, 1));
    // And again, once it is deleted.
    cluster.admin().delete_topic("t").await.unwrap();
    producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap();
    assert_ne!(cluster.admin().describe_topic("t").await.unwrap().topic_id(), topic.topic_id());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_created_is_missing() {
    let cluster = start().await;
    cluster.admin().create_topic(NewTopic::new("x.y")).await.unwrap();
    let producer = cluster.producer(ProducerConfig::default().max_block(Duration::from_secs(1))).unwrap();
    let bad = producer.send(ProducerRecord::to("a b").value("v")).await.unwrap_err();
    assert_eq!(bad.error().code(), ErrorCode::InvalidTopic);
    for name in ["x_y", "__cluster_metadata", "__transaction_state"] {
        let missing = producer.send(ProducerRecord::to(name).value("v")).await.unwrap_err();
        assert!(missing.error().is_timeout(), "{name}");
    }
    assert_eq!(topics(&cluster).await, ["x.y"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_creates_what_it_asks_for_if_it_may() {
    let cluster = start().await;
    let mut consumer = consumer(&cluster, "true");
    assert_eq!(consumer.partitions_for("asked").await.unwrap().len(), 3);
    let ends = consumer.end_offsets([("ends", 2)]).await.unwrap();
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(TopicPartition::new("ends", 2), 0)]);
    assert_eq!(consumer.offsets_for_times([(("times", 0), 1)]).await.unwrap().into_values().next(), Some(None));
    consumer.subscribe(["subscribed"]).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_millis(100)).await.unwrap();
    }
    assert_eq!(consumer.assignment().len(), 3);
    consumer.unsubscribe();
    consumer.assign([("assigned", 0)]).unwrap();
    consumer.poll(Duration::from_millis(100)).await.unwrap();
    assert_eq!(consumer.position(("assigned", 0)).await.unwrap(), 0);
    assert_eq!(topics(&cluster).await, ["asked", "assigned", "ends", "subscribed", "times"]);
    // A partition that the topic does not have is not added.
    consumer.assign([("far", 7)]).unwrap();
    consumer.poll(Duration::from_millis(100)).await.unwrap();
    assert_eq!(consumer.partitions_for("far").await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_may_not_creates_nothing() {
    let cluster = start().await;
    let mut consumer = consumer(&cluster, "false");
    assert_eq!(consumer.partitions_for("a").await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(consumer.end_offsets([("b", 0)]).await.unwrap_err().code(), ErrorCode::UnknownTopicOrPartition);
    consumer.subscribe(["c"]).unwrap();
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    consumer.unsubscribe();
    consumer.assign([("d", 0)]).unwrap();
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    assert!(topics(&cluster).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pattern_creates_nothing_and_a_bad_name_is_an_error() {
    let cluster = start().await;
    let config = ConsumerConfig::group("g").auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe_pattern("t.*").unwrap();
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    assert!(topics(&cluster).await.is_empty());
    consumer.unsubscribe();
    consumer.subscribe(["a b"]).unwrap();
    let refused = consumer.poll(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidTopic);
}
