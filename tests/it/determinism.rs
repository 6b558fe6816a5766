//! The same seed, the same calls and the same times give the same history, down to the bytes of internal topics.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brokerless::admin::AlterConfigOp;
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ConsumerRecords, NewTopic, ProducerConfig, ProducerRecord,
};

fn record(history: &mut String, reader: &str, records: &ConsumerRecords) {
    for record in records {
        writeln!(
            history,
            "{reader} {}-{}@{} {} {:?} {:?} {:?}",
            record.topic(),
            record.partition(),
            record.offset(),
            record.timestamp(),
            record.leader_epoch(),
            record.key(),
            record.value(),
        )
        .unwrap();
    }
}

fn member(cluster: &Cluster, client_id: &str) -> Consumer {
    let config = ConsumerConfig::group("g")
        .client_id(client_id)
        .heartbeat_interval(Duration::from_millis(100))
        .auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["events", "table"]).unwrap();
    consumer
}

/// A run of everything that makes choices: placement, ids, sticky partitions, assignments, compaction, retention.
async fn run(seed: u64) -> String {
    let mut history = String::new();
    let cluster = Cluster::builder()
        .seed(seed)
        .wall_time(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .broker_property("log.retention.check.interval.ms", "1000")
        .broker_property("log.cleaner.backoff.ms", "500")
        .start()
        .await
        .unwrap();
    let admin = cluster.admin();
    let small = |name: &str| NewTopic::new(name).partitions(4).config("internal.segment.bytes", "2000");
    admin.create_topic(small("events").config("retention.bytes", "6000")).await.unwrap();
    let table = small("table").config("cleanup.policy", "compact").config("min.cleanable.dirty.ratio", "0.1");
    admin.create_topic(table).await.unwrap();
    writeln!(history, "{} {:?}", cluster.cluster_id(), admin.list_topics().await.unwrap()).unwrap();

    let mut members = vec![member(&cluster, "first"), member(&cluster, "second")];
    let producer = cluster.producer(ProducerConfig::default().batch_size(300)).unwrap();
    for round in 0..40u32 {
        for index in 0..25u32 {
            let (key, value) = ((index % 7).to_string(), format!("{round}/{index}"));
            drop(producer.send(ProducerRecord::to("events").value(&value)).await.unwrap());
            drop(producer.send(ProducerRecord::to("table").key(&key).value(&value)).await.unwrap());
        }
        for (index, member) in members.iter_mut().enumerate() {
            let records = member.poll(Duration::from_millis(50)).await.unwrap();
            record(&mut history, &format!("member {index}"), &records);
            writeln!(history, "{:?} {:?}", member.assignment(), member.group_metadata().unwrap()).unwrap();
            // Refused in the middle of a rebalance, in every run alike.
            writeln!(history, "{:?}", member.commit().await.map_err(|error| error.to_string())).unwrap();
        }
        match round {
            10 => members.push(member(&cluster, "third")),
            20 => drop(members.remove(0)),
            30 => admin.alter_topic_config("events", [AlterConfigOp::set("retention.bytes", "3000")]).await.unwrap(),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    producer.close().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;

    let mut reader = cluster.consumer(ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest)).unwrap();
    for topic in admin.list_all_topics().await.unwrap() {
        let partitions = reader.partitions_for(topic.name()).await.unwrap();
        reader.assign(partitions.iter().map(|partition| partition.topic_partition())).unwrap();
        loop {
            let records = reader.poll(Duration::ZERO).await.unwrap();
            if records.is_empty() {
                break;
            }
            record(&mut history, "at the end", &records);
        }
    }
    writeln!(history, "{:?}", admin.describe_group("g").await.unwrap()).unwrap();
    history
}

fn history(seed: u64) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed))
}

#[test]
fn invariant_53_the_same_seed_gives_the_same_history() {
    let (first, second) = (history(7), history(7));
    let difference = first.lines().zip(second.lines()).position(|(one, other)| one != other);
    if let Some(line) = difference {
        let show = |history: &str| history.lines().nth(line).map(str::to_owned);
        panic!("the runs differ in line {line}:\n{:?}\n{:?}", show(&first), show(&second));
    }
    assert_eq!(first.len(), second.len());
    // There is something to be repeated: all readers, and Kafka's own topic.
    assert!(first.lines().count() > 3_000, "{} lines", first.lines().count());
    assert!(first.contains("__consumer_offsets"));
    assert_ne!(first, history(8), "the seed matters");
}

#[test]
fn a_cluster_starts_at_the_wall_time_it_is_given() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let timestamp = |time: SystemTime| {
        runtime.block_on(async {
            let cluster = Cluster::builder().wall_time(time).start().await.unwrap();
            cluster.admin().create_topic("t").await.unwrap();
            let producer = cluster.producer(ProducerConfig::default()).unwrap();
            producer.send(ProducerRecord::to("t").value("v")).await.unwrap().await.unwrap().timestamp()
        })
    };
    assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(1_000_000)), 1_000_000_000);
    assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), 0, "there is no time before 1970");
}
