//! The clients for plain threads. No test here has a runtime of its own, but for the one that says so.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use brokerless::blocking::{Cluster, Consumer, Producer};
use brokerless::{
    AutoOffsetReset, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, ProducerRecord, TopicPartition,
};

const LONG: Duration = Duration::from_secs(30);

fn earliest(group: &str) -> ConsumerConfig {
    ConsumerConfig::group(group).auto_offset_reset(AutoOffsetReset::Earliest)
}

fn cluster_with(topic: &str, partitions: i32) -> Cluster {
    let cluster = Cluster::in_memory();
    cluster.admin().create_topic(NewTopic::new(topic).partitions(partitions)).unwrap();
    cluster
}

fn send(producer: &Producer, topic: &str, values: impl IntoIterator<Item = u32>) {
    for value in values {
        let value = value.to_string();
        producer.send(ProducerRecord::to(topic).value(value.as_str())).unwrap();
    }
    producer.flush().unwrap();
}

fn read(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let mut values = Vec::new();
    while values.len() < count {
        let records = consumer.poll(LONG).unwrap();
        assert!(!records.is_empty(), "{} of {count} records after {LONG:?}", values.len());
        values.extend(
            records.iter().map(|record| std::str::from_utf8(record.value().unwrap()).unwrap().parse::<u32>().unwrap()),
        );
    }
    values
}

#[test]
fn records_travel_between_plain_threads() {
    let cluster = cluster_with("t", 1);
    let mut consumer = cluster.consumer(earliest("g")).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let reader = thread::spawn(move || {
        let values = read(&mut consumer, 10_000);
        consumer.commit().unwrap();
        consumer.close().unwrap();
        values
    });
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    send(&producer, "t", 0..10_000);
    producer.close().unwrap();
    assert_eq!(reader.join().unwrap(), (0..10_000).collect::<Vec<_>>());
    let group = cluster.admin().describe_group("g").unwrap();
    assert!(group.members().is_empty());
}

#[test]
fn a_lingering_batch_is_sent_by_the_background_thread() {
    let cluster = cluster_with("t", 1);
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::from_millis(1))).unwrap();
    // Nobody flushes and the batch is far from full: only the linger can send it.
    let delivery = producer.send(ProducerRecord::to("t").value("v")).unwrap();
    let metadata = delivery.wait().unwrap();
    assert_eq!((metadata.partition(), metadata.offset()), (0, 0));
}

#[test]
fn callbacks_run_once_the_record_is_acknowledged() {
    let cluster = cluster_with("t", 1);
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let (sender, receiver) = mpsc::sync_channel(1);
    producer
        .send_with(ProducerRecord::to("t").value("v"), move |result| sender.send(result.unwrap().offset()).unwrap())
        .unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 0);
}

#[test]
fn a_poll_ends_with_its_timeout_and_with_a_wakeup() {
    let cluster = cluster_with("t", 1);
    let mut consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(consumer.poll(Duration::from_millis(5)).unwrap().is_empty());
    let waker = consumer.wakeup_handle();
    let other = thread::spawn(move || waker.wakeup());
    assert!(consumer.poll(LONG).unwrap_err().is_wakeup());
    other.join().unwrap();
}

#[test]
fn errors_are_those_of_the_asynchronous_clients_and_give_the_record_back() {
    let cluster = cluster_with("t", 1);
    assert_eq!(cluster.admin().create_topic("t").unwrap_err().code(), ErrorCode::TopicAlreadyExists);
    let config = ProducerConfig::default().max_block(Duration::from_millis(5));
    let producer = cluster.producer(config).unwrap();
    let refused = producer.send(ProducerRecord::to("absent").value("v")).unwrap_err();
    assert!(refused.error().is_timeout());
    assert_eq!(refused.error().to_string(), "topic absent not present in metadata after 5 ms [REQUEST_TIMED_OUT (7)]");
    producer.close().unwrap();
    assert!(producer.send(ProducerRecord::to("t").value("v")).unwrap_err().error().is_closed());
}

#[test]
fn members_of_one_group_share_the_partitions_and_a_closed_one_leaves_its_share() {
    let cluster = cluster_with("t", 4);
    let config = || earliest("g").heartbeat_interval(Duration::from_millis(10));
    let mut first = cluster.consumer(config()).unwrap();
    first.subscribe(["t"]).unwrap();
    let until = |consumer: &mut Consumer, partitions: usize| {
        while consumer.assignment().len() != partitions {
            consumer.poll(Duration::from_millis(10)).unwrap();
        }
    };
    until(&mut first, 4);
    // Or else the second may be gone before a poll of the first has returned with two.
    let both_have_two = Arc::new(Barrier::new(2));
    let second = {
        let mut second = cluster.consumer(config()).unwrap();
        let both_have_two = Arc::clone(&both_have_two);
        second.subscribe(["t"]).unwrap();
        thread::spawn(move || {
            until(&mut second, 2);
            both_have_two.wait();
            second.close().unwrap();
        })
    };
    until(&mut first, 2);
    both_have_two.wait();
    second.join().unwrap();
    until(&mut first, 4);
    first.close().unwrap();
}

#[test]
fn positions_offsets_and_pausing_work_without_a_runtime() {
    let cluster = cluster_with("t", 1);
    let partition = TopicPartition::new("t", 0);
    send(&cluster.producer(ProducerConfig::default()).unwrap(), "t", 0..10);
    let mut consumer = cluster.consumer(earliest("g")).unwrap();
    consumer.assign([&partition]).unwrap();
    assert_eq!(consumer.end_offsets([&partition]).unwrap()[&partition], 10);
    assert_eq!(consumer.beginning_offsets([&partition]).unwrap()[&partition], 0);
    consumer.seek(&partition, 7).unwrap();
    assert_eq!(read(&mut consumer, 3), [7, 8, 9]);
    assert_eq!(consumer.position(&partition).unwrap(), 10);
    consumer.commit().unwrap();
    assert_eq!(consumer.committed([&partition]).unwrap()[&partition].offset(), 10);
    consumer.seek_to_beginning([&partition]).unwrap();
    consumer.pause([&partition]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    consumer.resume([&partition]).unwrap();
    assert_eq!(read(&mut consumer, 10), (0..10).collect::<Vec<_>>());
}

#[test]
fn there_is_one_background_thread_however_many_clusters_there_are() {
    let clusters: Vec<_> = (0..3).map(|_| cluster_with("t", 1)).collect();
    let clients: Vec<_> = clusters
        .iter()
        .map(|cluster| {
            let mut consumer = cluster.consumer(earliest("g")).unwrap();
            consumer.subscribe(["t"]).unwrap();
            consumer.poll(Duration::ZERO).unwrap();
            (cluster.producer(ProducerConfig::default()).unwrap(), consumer)
        })
        .collect();
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let name = std::fs::read_to_string(task.as_ref().unwrap().path().join("comm"));
        // A thread of another test may end while this one looks.
        name.is_ok_and(|name| name.trim_end() == "brokerless")
    });
    assert_eq!(threads.count(), 1);
    drop(clients);
}

#[test]
fn a_blocking_runtime_thread_is_refused_and_a_thread_for_blocking_is_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let panic = runtime.block_on(async {
        std::panic::catch_unwind(|| drop(Cluster::in_memory())).expect_err("it would block the runtime")
    });
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    assert!(message.unwrap().contains("from within a runtime"), "{message:?}");

    let offset = runtime.block_on(async {
        let work = || {
            let cluster = cluster_with("t", 1);
            let producer = cluster.producer(ProducerConfig::default()).unwrap();
            producer.send(ProducerRecord::to("t").value("v")).unwrap().wait().unwrap().offset()
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    });
    assert_eq!(offset, 0);
}

#[test]
fn everything_ends_with_a_shutdown() {
    let cluster = cluster_with("t", 1);
    let mut consumer = cluster.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let reader = thread::spawn(move || {
        loop {
            match consumer.poll(LONG) {
                Ok(records) => assert!(records.is_empty()),
                Err(error) => break error,
            }
        }
    });
    cluster.shutdown();
    assert!(reader.join().unwrap().is_closed());
    assert!(cluster.admin().create_topic("u").unwrap_err().is_closed());
}
