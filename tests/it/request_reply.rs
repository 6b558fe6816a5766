//! Request and reply: matched whatever their order, bounded, and over in time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use brokerless::request_reply::{
    CORRELATION_ID, REPLY_PARTITION, REPLY_TOPIC, ReplyTo, Requester, RequesterConfig, Responder,
};
use brokerless::{
    AutoOffsetReset, Cluster, Consumer, ConsumerConfig, ErrorCode, NewTopic, OwnedConsumerRecord, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};
use futures::future::join_all;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

async fn cluster() -> (Cluster, Producer) {
    let cluster = Cluster::in_memory();
    for (topic, partitions) in [("requests", 1), ("replies", 3)] {
        cluster.admin().create_topic(NewTopic::new(topic).partitions(partitions)).await.unwrap();
    }
    let config = ProducerConfig::default().linger(Duration::ZERO).max_block(Duration::from_secs(2));
    let producer = cluster.producer(config).unwrap();
    (cluster, producer)
}

async fn requester(cluster: &Cluster, producer: &Producer, config: RequesterConfig) -> Requester {
    Requester::open(cluster, producer.clone(), config).await.unwrap()
}

fn config() -> RequesterConfig {
    RequesterConfig::new("replies")
}

fn request(value: &str) -> ProducerRecord<'_> {
    ProducerRecord::to("requests").value(value)
}

/// Reads requests, to be answered by hand.
fn reader(cluster: &Cluster) -> Consumer {
    let config = ConsumerConfig::default().auto_offset_reset(AutoOffsetReset::Earliest);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.assign([("requests", 0)]).unwrap();
    consumer
}

/// A member of a group of responders.
fn responder(cluster: &Cluster, producer: &Producer) -> Responder {
    let config = ConsumerConfig::group("responders")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .max_poll_records(2)
        .enable_auto_commit(false);
    let mut consumer = cluster.consumer(config).unwrap();
    consumer.subscribe(["requests"]).unwrap();
    Responder::new(consumer, producer.clone())
}

async fn take(consumer: &mut Consumer, count: usize) -> Vec<OwnedConsumerRecord> {
    let mut requests = Vec::new();
    while requests.len() < count {
        requests.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
    }
    requests
}

async fn answer(producer: &Producer, request: &OwnedConsumerRecord, value: &str) {
    let reply_to = ReplyTo::of(request).unwrap();
    producer.send(reply_to.reply(value)).await.unwrap().await.unwrap();
}

fn text(record: &OwnedConsumerRecord) -> String {
    record.value_str().unwrap().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn replies_find_their_requests_in_whatever_order_they_come() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config()).await;
    let names: Vec<String> = (0..20).map(|index| format!("request {index}")).collect();
    let asking = join_all(names.iter().map(|name| requester.request(request(name))));
    let answering = async {
        let mut requests = take(&mut reader(&cluster), 20).await;
        assert_eq!(requester.in_flight(), 20);
        requests.reverse();
        for request in &requests {
            answer(&producer, request, &format!("re: {}", text(request))).await;
        }
    };
    let (replies, ()) = tokio::join!(asking, answering);
    for (name, reply) in names.iter().zip(replies) {
        assert_eq!(text(&reply.unwrap()), format!("re: {name}"));
    }
    assert_eq!((requester.in_flight(), requester.late_replies(), requester.foreign_replies()), (0, 0, 0));
}

/// Header names and formats of Spring Kafka's ReplyingKafkaTemplate.
#[tokio::test(start_paused = true)]
async fn requests_and_replies_are_as_spring_writes_them() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().partition(2)).await;
    let asking = requester.request(request("?").header("trace", "7f"));
    let answering = async {
        let requests = take(&mut reader(&cluster), 1).await;
        let headers: Vec<_> = requests[0].headers().collect();
        assert_eq!(
            headers.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["trace", "kafka_correlationId", "kafka_replyTopic", "kafka_replyPartition"]
        );
        assert_eq!(headers[1].1.unwrap().len(), 16);
        assert_eq!((headers[2].1, headers[3].1), (Some(&b"replies"[..]), Some(&[0, 0, 0, 2][..])));
        assert_eq!([CORRELATION_ID, REPLY_TOPIC, REPLY_PARTITION], [headers[1].0, headers[2].0, headers[3].0]);
        let reply_to = ReplyTo::of(&requests[0]).unwrap();
        assert_eq!((reply_to.topic(), reply_to.partition()), ("replies", Some(2)));
        assert_eq!(Some(reply_to.correlation_id()), headers[1].1);
        answer(&producer, &requests[0], "!").await;
    };
    let (reply, ()) = tokio::join!(asking, answering);
    let reply = reply.unwrap();
    assert_eq!(reply.topic_partition(), &TopicPartition::new("replies", 2));
    assert_eq!(reply.headers().map(|(name, _)| name).collect::<Vec<_>>(), ["kafka_correlationId"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_reply_times_out_and_its_reply_is_dropped_and_counted() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().timeout(Duration::from_secs(3))).await;
    let start = Instant::now();
    let error = requester.request(request("slow")).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.to_string(), "there was no reply to a request to requests within 3000 ms [REQUEST_TIMED_OUT (7)]");
    assert_eq!((start.elapsed().as_secs(), requester.in_flight()), (3, 0));
    let error = requester.request_timeout(request("slow"), Duration::from_millis(10)).await.unwrap_err();
    assert!(error.is_timeout());

    // Replies that come too late, twice, and for somebody else; then one in time.
    let mut requests = reader(&cluster);
    let late = take(&mut requests, 2).await;
    answer(&producer, &late[0], "late").await;
    answer(&producer, &late[1], "late").await;
    answer(&producer, &late[1], "again").await;
    let partition = ReplyTo::of(&late[0]).unwrap().partition().unwrap();
    let foreign = ProducerRecord::to("replies").partition(partition).value("?").header(CORRELATION_ID, &[7; 16]);
    producer.send(foreign).await.unwrap();
    let in_time = async {
        let request = take(&mut requests, 1).await.remove(0);
        answer(&producer, &request, "in time").await;
    };
    let (reply, ()) = tokio::join!(requester.request(request("quick")), in_time);
    assert_eq!(text(&reply.unwrap()), "in time");
    assert_eq!((requester.late_replies(), requester.foreign_replies()), (3, 1));
    // Failing to send is not waited out.
    let error = requester.request(ProducerRecord::to("no such topic")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidTopic);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bound_wait_for_their_turn_within_their_timeout() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().max_in_flight(2)).await;
    let mut requests = reader(&cluster);
    let asking = join_all(
        [("a", 3), ("b", 3), ("c", 3), ("d", 2)]
            .map(|(name, seconds)| requester.request_timeout(request(name), Duration::from_secs(seconds))),
    );
    let answering = async {
        let first = take(&mut requests, 2).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((requester.in_flight(), requests.current_lag(("requests", 0)).unwrap()), (2, Some(0)));
        answer(&producer, &first[0], "1").await;
        let next = take(&mut requests, 1).await;
        assert_eq!(text(&next[0]), "c");
    };
    let (replies, ()) = tokio::join!(asking, answering);
    let outcomes: Vec<_> = replies.into_iter().map(|reply| reply.map(|reply| text(&reply)).ok()).collect();
    assert_eq!(outcomes, [Some("1".into()), None, None, None]);
    // The last one's time was over before its turn came: it was not sent.
    assert_eq!(requests.end_offsets([("requests", 0)]).await.unwrap()[&TopicPartition::new("requests", 0)], 3);
    for wrong in [0, u32::MAX] {
        let error = Requester::open(&cluster, producer.clone(), config().max_in_flight(wrong)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidConfig);
    }
    let error = Requester::open(&cluster, producer.clone(), config().partition(3)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopicOrPartition);
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_disappears_is_replaced_and_nothing_goes_unanswered() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().timeout(Duration::from_secs(60))).await;
    // It answers two requests, takes the third and never comes back.
    let gate = Arc::new(Semaphore::new(2));
    let first = tokio::spawn(responder(&cluster, &producer).run({
        let gate = Arc::clone(&gate);
        move |request| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                format!("first {}", text(&request))
            }
        }
    }));
    let names: Vec<String> = (0..5).map(|index| index.to_string()).collect();
    let mut replies: VecDeque<_> = names
        .iter()
        .map(|name| {
            let (requester, name) = (requester.clone(), name.clone());
            tokio::spawn(async move { text(&requester.request(request(&name)).await.unwrap()) })
        })
        .collect();
    assert_eq!(replies.pop_front().unwrap().await.unwrap(), "first 0");
    assert_eq!(replies.pop_front().unwrap().await.unwrap(), "first 1");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    let second = responder(&cluster, &producer);
    let shutdown = second.shutdown_handle();
    let second = tokio::spawn(second.run(async |request| format!("second {}", text(&request))));
    for (index, reply) in (2..).zip(replies) {
        assert_eq!(reply.await.unwrap(), format!("second {index}"));
    }
    shutdown.shutdown();
    let summary = second.await.unwrap().unwrap();
    assert!((3..=5).contains(&summary.replies()), "{summary:?}");
    assert_eq!(requester.late_replies(), summary.replies() - 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_passed_over_and_a_reply_that_cannot_be_sent_is_given_up() {
    let (cluster, producer) = cluster().await;
    producer.send(request("not a request")).await.unwrap();
    let nowhere = request("?").header(CORRELATION_ID, "x").header(REPLY_TOPIC, "nowhere");
    producer.send(nowhere).await.unwrap();
    producer.flush().await.unwrap();
    let responder = responder(&cluster, &producer);
    let shutdown = responder.shutdown_handle();
    let answering = tokio::spawn(responder.run(async |_| "!"));
    let requester = requester(&cluster, &producer, config()).await;
    assert_eq!(text(&requester.request(request("?")).await.unwrap()), "!");
    shutdown.shutdown();
    let summary = answering.await.unwrap().unwrap();
    assert_eq!((summary.replies(), summary.undelivered(), summary.passed_over()), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_what_is_under_way() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().max_in_flight(1)).await;
    let (begin, began) = oneshot::channel();
    let mut begin = Some(begin);
    let responder = responder(&cluster, &producer);
    let shutdown = responder.shutdown_handle();
    let answering = tokio::spawn(responder.run(move |_| {
        if let Some(begin) = begin.take() {
            begin.send(()).unwrap();
        }
        async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            "done"
        }
    }));
    let ask = |requester: Requester| async move { requester.request(request("?")).await };
    let (one, two) = (tokio::spawn(ask(requester.clone())), tokio::spawn(ask(requester.clone())));
    began.await.unwrap();
    let start = Instant::now();
    requester.close().await;
    // Both were there before: one with its request sent, one waiting for its turn.
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!(
        (text(&one.await.unwrap().unwrap()), text(&two.await.unwrap().unwrap())),
        ("done".into(), "done".into())
    );
    let error = requester.request(request("?")).await.unwrap_err();
    assert!(error.is_closed());
    requester.close().await;

    // A responder that is stopped finishes what it has taken, commits, and leaves.
    let after = self::requester(&cluster, &producer, config()).await;
    let asking = tokio::spawn(ask(after.clone()));
    while after.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    shutdown.shutdown();
    assert_eq!(text(&asking.await.unwrap().unwrap()), "done");
    assert_eq!(answering.await.unwrap().unwrap().replies(), 3);
    let group = cluster.admin().describe_groups(["responders"]).await.remove(0).unwrap();
    assert_eq!(group.members().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_ends_fails_requests_and_responders_at_once() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config()).await;
    let answering = tokio::spawn(responder(&cluster, &producer).run(async |_| std::future::pending::<String>().await));
    let asking = tokio::spawn({
        let requester = requester.clone();
        async move { requester.request(request("?")).await }
    });
    while requester.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.shutdown().await;
    assert!(asking.await.unwrap().unwrap_err().is_closed());
    assert!(requester.request(request("?")).await.unwrap_err().is_closed());
    assert_eq!(start.elapsed().as_millis(), 100);
    answering.abort();
}

/// A member of a group of responders that begins at the end, as by default.
fn latest_responder(cluster: &Cluster, producer: &Producer, topics: &[&str]) -> Responder {
    let mut consumer = cluster.consumer(ConsumerConfig::group("responders").enable_auto_commit(false)).unwrap();
    consumer.subscribe(topics.iter().copied()).unwrap();
    Responder::new(consumer, producer.clone())
}

async fn committed(cluster: &Cluster) -> Vec<(TopicPartition, i64)> {
    let offsets = cluster.admin().list_group_offsets("responders").await.unwrap();
    offsets.into_iter().map(|(partition, position)| (partition, position.offset())).collect()
}

/// Symptom: the first request to a new group was missed if its responder disappeared. Cause: nothing was committed before
/// it was answered, so that the next responder began at the end again. Fix: where a partition begins is committed first.
#[tokio::test(start_paused = true)]
async fn the_first_request_to_a_new_group_is_not_missed() {
    let (cluster, producer) = cluster().await;
    let requester = requester(&cluster, &producer, config().timeout(Duration::from_secs(60))).await;
    let first = latest_responder(&cluster, &producer, &["requests"]);
    let (begin, began) = oneshot::channel();
    let mut begin = Some(begin);
    let first = tokio::spawn(first.run(move |_| {
        begin.take().unwrap().send(()).unwrap();
        std::future::pending::<String>()
    }));
    // It stands at the end by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asking = tokio::spawn(async move { requester.request(request("?")).await });
    began.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    let second = latest_responder(&cluster, &producer, &["requests"]);
    let shutdown = second.shutdown_handle();
    let second = tokio::spawn(second.run(async |_| "second"));
    assert_eq!(text(&asking.await.unwrap().unwrap()), "second");
    shutdown.shutdown();
    assert_eq!(second.await.unwrap().unwrap().replies(), 1);
}

/// What comes between two responders is answered by the second, be it the first request of all.
#[tokio::test(start_paused = true)]
async fn a_responder_without_requests_commits_where_it_ends() {
    let (cluster, producer) = cluster().await;
    producer.send(request("before")).await.unwrap().await.unwrap();
    let responder = latest_responder(&cluster, &producer, &["requests"]);
    let shutdown = responder.shutdown_handle();
    let answering = tokio::spawn(responder.run(async |_| "!"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    shutdown.shutdown();
    assert_eq!(answering.await.unwrap().unwrap().replies(), 0);
    assert_eq!(committed(&cluster).await, [(TopicPartition::new("requests", 0), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_responder_outlives_a_deleted_topic() {
    let (cluster, producer) = cluster().await;
    cluster.admin().create_topic(NewTopic::new("doomed")).await.unwrap();
    let requester = requester(&cluster, &producer, config()).await;
    let responder = latest_responder(&cluster, &producer, &["requests", "doomed"]);
    let shutdown = responder.shutdown_handle();
    let admin = cluster.admin();
    let answering = tokio::spawn(responder.run(move |_| {
        let admin = admin.clone();
        async move {
            // While the request is answered, so that the commit that follows is of both.
            let _deleted_already = admin.delete_topic("doomed").await;
            "!"
        }
    }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..2 {
        assert_eq!(text(&requester.request(request("?")).await.unwrap()), "!");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shutdown.shutdown();
    assert_eq!(answering.await.unwrap().unwrap().replies(), 2);
    assert_eq!(committed(&cluster).await, [(TopicPartition::new("requests", 0), 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_requester_creates_no_reply_topic() {
    let cluster = Cluster::builder().broker_property("auto.create.topics.enable", "true").start().await.unwrap();
    let producer = cluster.producer(ProducerConfig::default()).unwrap();
    let error = Requester::open(&cluster, producer, config()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopicOrPartition);
    assert!(cluster.admin().list_topics().await.unwrap().is_empty());
}
