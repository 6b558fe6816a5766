//! The clients for plain threads. No test here has a runtime of its own, but for the one that says so.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use brokerless::blocking::{Cluster, Consumer, Producer};
use brokerless::{
    AutoOffsetReset, ConsumerConfig, Delivery, ErrorCode, NewTopic, PartitionAssignor, ProducerConfig, ProducerRecord,
    RebalanceContext, RebalanceListener, RecordMetadata, TopicPartition,
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

/// What a panic said.
fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.expect("a text").to_owned()
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

/// A record sent from a callback was lost unless it found room in an open batch: the call inside the call panicked, and a
/// callback's panic is passed over. What needs no waiting is now done wherever it is.
#[test]
fn a_callback_may_send_what_needs_a_batch_of_its_own() {
    let cluster = cluster_with("t", 1);
    let config = || ProducerConfig::default().linger(Duration::ZERO);
    let other = cluster.producer(config()).unwrap();
    let echoed_to = |topic: &str, linger: Duration, flush: bool| {
        cluster.admin().create_topic(NewTopic::new(topic)).unwrap();
        let producer = cluster.producer(config().linger(linger)).unwrap();
        let (sender, receiver) = mpsc::sync_channel(1);
        let (echoing, topic) = (other.clone(), topic.to_owned());
        let echo = move |result: brokerless::Result<RecordMetadata>| {
            result.unwrap();
            let delivery = echoing.send(ProducerRecord::to(topic.as_str()).value("first")).unwrap();
            echoing.send_with(ProducerRecord::to(topic.as_str()).value("second"), drop).unwrap();
            sender.send((thread::current().id(), delivery)).unwrap();
        };
        producer.send_with(ProducerRecord::to("t").value("v"), echo).unwrap();
        if flush {
            producer.flush().unwrap();
        }
        let (thread, delivery) = receiver.recv_timeout(LONG).unwrap();
        assert_eq!(delivery.wait().unwrap().offset(), 0);
        other.flush().unwrap();
        thread
    };
    let this = thread::current().id();
    // Within the send, within a call that waits, and on the background thread.
    assert_eq!(echoed_to("a", Duration::ZERO, false), this);
    assert_eq!(echoed_to("b", LONG, true), this);
    assert_ne!(echoed_to("c", Duration::from_millis(1), false), this);
    let mut consumer = cluster.consumer(earliest("g")).unwrap();
    for topic in ["a", "b", "c"] {
        assert_eq!(consumer.end_offsets([(topic, 0)]).unwrap()[&TopicPartition::new(topic, 0)], 2);
    }
    consumer.unsubscribe();
}

/// Where it cannot go well it is said: on the background thread by a panic, for the callback's own batch by an error.
#[test]
fn a_callback_that_blocks_hears_why_it_must_not() {
    let cluster = cluster_with("t", 1);
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::from_millis(1))).unwrap();
    let (sender, receiver) = mpsc::sync_channel(1);
    let admin = cluster.admin();
    let block = move |_| {
        let create = || admin.create_topic("u").map(drop);
        sender.send(text(&*catch_unwind(AssertUnwindSafe(create)).unwrap_err())).unwrap();
    };
    producer.send_with(ProducerRecord::to("t").value("v"), block).unwrap();
    let message = receiver.recv_timeout(LONG).unwrap();
    assert!(message.starts_with("Cannot wait on the thread brokerless"), "{message}");

    // With its batch sent at once, the callback runs on this thread.
    let producer = cluster.producer(ProducerConfig::default().linger(Duration::ZERO)).unwrap();
    let (sender, receiver) = mpsc::sync_channel(2);
    let clone = producer.clone();
    let block = move |_| {
        sender.send(clone.flush().unwrap_err().to_string()).unwrap();
        sender.send(clone.close().unwrap_err().to_string()).unwrap();
    };
    producer.send_with(ProducerRecord::to("t").value("v"), block).unwrap();
    let messages: Vec<_> = receiver.iter().collect();
    let refused = |call: &str| format!("{call} inside a callback is not permitted because it may lead to deadlock");
    assert_eq!(messages, [refused("Producer::flush"), refused("Producer::close")]);
    producer.flush().unwrap();
}

/// Flushes when partitions go, and asks everything else that takes waiting, with timers and without.
struct Flushes {
    producer: Producer,
    cluster: Cluster,
    delivery: Option<Delivery>,
    revoked: mpsc::SyncSender<bool>,
}

impl RebalanceListener for Flushes {
    fn on_partitions_assigned(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
        self.delivery = Some(self.producer.send(ProducerRecord::to("out").value("v")).unwrap());
        let mut other = self.cluster.consumer(ConsumerConfig::default()).unwrap();
        other.assign([("out", 0)]).unwrap();
        assert!(other.poll(Duration::from_millis(5)).unwrap().is_empty());
    }

    fn on_partitions_revoked(&mut self, context: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
        self.producer.flush().unwrap();
        context.commit();
        // The first rebalance has nothing to revoke.
        if let Some(delivery) = self.delivery.take() {
            self.revoked.send(delivery.is_done()).unwrap();
        }
    }
}

/// Kafka's usual pattern: it panicked, because the listener runs inside of a call that waits already.
#[test]
fn a_listener_may_wait() {
    let cluster = cluster_with("t", 1);
    cluster.admin().create_topic("out").unwrap();
    let producer = cluster.producer(ProducerConfig::default().linger(LONG)).unwrap();
    let (sender, receiver) = mpsc::sync_channel(2);
    let mut consumer =
        cluster.consumer(earliest("g").partition_assignment_strategy([PartitionAssignor::Range])).unwrap();
    let listener = Flushes { producer, cluster: cluster.clone(), delivery: None, revoked: sender };
    consumer.subscribe_with_listener(["t"], listener).unwrap();
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_millis(10)).unwrap();
    }
    consumer.enforce_rebalance("for the test").unwrap();
    while receiver.try_recv() != Ok(true) {
        consumer.poll(Duration::from_millis(10)).unwrap();
    }
    while consumer.assignment().is_empty() {
        consumer.poll(Duration::from_millis(10)).unwrap();
    }
    consumer.close().unwrap();
    assert_eq!(receiver.recv(), Ok(true));
}

/// A caller that caught a listener's panic had a consumer without a listener, and, if the panic came in the middle of a
/// rebalance, without the partitions that its group thought it had.
#[test]
fn a_listener_that_panics_is_called_again() {
    /// The first call of either method panics.
    #[derive(Default)]
    struct Panics {
        assigned: bool,
        revoked: bool,
    }
    impl RebalanceListener for Panics {
        fn on_partitions_assigned(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
            assert!(std::mem::replace(&mut self.assigned, true), "on purpose");
        }

        fn on_partitions_revoked(&mut self, _: &mut RebalanceContext<'_>, _: &[TopicPartition]) {
            assert!(std::mem::replace(&mut self.revoked, true), "on purpose");
        }
    }
    let cluster = cluster_with("t", 2);
    let config = || {
        earliest("g")
            .heartbeat_interval(Duration::from_millis(10))
            .partition_assignment_strategy([PartitionAssignor::CooperativeSticky])
    };
    let mut consumer = cluster.consumer(config()).unwrap();
    consumer.subscribe_with_listener(["t"], Panics::default()).unwrap();
    let (mut panics, mut polls) = (0, 0);
    let mut poll = |consumer: &mut Consumer| {
        polls += 1;
        assert!(polls < 1000, "{panics} panics after {polls} polls, and {:?}", consumer.assignment());
        match catch_unwind(AssertUnwindSafe(|| consumer.poll(Duration::from_millis(10)))) {
            Ok(polled) => drop(polled.unwrap()),
            Err(_) => panics += 1,
        }
        panics
    };
    while poll(&mut consumer) == 0 || consumer.assignment().len() < 2 {}
    let mut second = cluster.consumer(config()).unwrap();
    second.subscribe(["t"]).unwrap();
    while poll(&mut consumer) < 2 || consumer.assignment().len() != 1 || second.assignment().len() != 1 {
        second.poll(Duration::ZERO).unwrap();
    }
    second.close().unwrap();
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
fn a_blocking_runtime_thread_is_refused_and_a_thread_for_blocking_is_not() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let panic = runtime.block_on(async {
        std::panic::catch_unwind(|| drop(Cluster::in_memory())).expect_err("it would block the runtime")
    });
    let message = text(&*panic);
    assert!(message.contains("from within a runtime"), "{message}");

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

/// `send_with`, and a `send` that needs a new batch, panicked on such a thread even where nothing had to wait.
#[test]
fn a_task_may_send_what_has_not_to_wait() {
    let cluster = cluster_with("t", 1);
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let deliveries: Vec<_> = runtime.block_on(async {
        // More than a task's budget.
        let send = |_| producer.send_with(ProducerRecord::to("t").value("v"), drop).unwrap();
        (0..1000).map(send).collect()
    });
    for (offset, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.wait().unwrap().offset(), offset);
    }
    let absent = || producer.send(ProducerRecord::to("absent").value("v")).map(drop);
    let panic = runtime.block_on(async { catch_unwind(AssertUnwindSafe(absent)).map(drop).unwrap_err() });
    assert!(text(&*panic).contains("from within a runtime"));
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
