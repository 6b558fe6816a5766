//! Doctored histories: each rule fires on what it is for, and on nothing else.

use super::*;
use crate::types::{Offset, TopicPartition};

const ORDERS: (&str, i32) = ("orders", 0);

fn acknowledge(history: &History, producer: &str, id: &str, partition: i32, offset: Offset) {
    let sending = history.producer(producer).sending("orders", None, Some(id.as_bytes()));
    sending.acknowledged(("orders", partition), Some(offset));
}

fn poll(history: &History, consumer: &str, records: &[(Offset, &str)]) {
    let partition = TopicPartition::new("orders", 0);
    let records = records.iter().map(|(offset, id)| (partition.clone(), *offset, None, Some(id.as_bytes())));
    history.consumer(consumer).polled(records);
}

/// Kind, offset and the operations of each.
fn anomalies(history: &History) -> Vec<(AnomalyKind, Offset, Vec<usize>)> {
    let report = history.check();
    assert_eq!(report.is_valid(), report.anomalies().is_empty());
    let summary = |anomaly: &Anomaly| (anomaly.kind(), anomaly.offset(), anomaly.operations().to_vec());
    report.anomalies().iter().map(summary).collect()
}

#[test]
fn what_kafka_allows_is_valid() {
    let history = History::new();
    // Another producer's record in between; a marker at 2, which nobody sees; acknowledgements in any order.
    let first = history.producer("p").sending("orders", None, Some(b"a"));
    let second = history.producer("p").sending("orders", None, Some(b"b"));
    second.acknowledged(ORDERS, Some(3));
    first.acknowledged(ORDERS, Some(0));
    acknowledge(&history, "q", "c", 0, 1);
    // Not acknowledged, and stored all the same; dropped, and never heard of again; not known where.
    history.producer("p").sending("orders", None, Some(b"d")).failed("timeout");
    drop(history.producer("p").sending("orders", None, Some(b"e")));
    history.producer("p").sending("orders", None, Some(b"f")).acknowledged(ORDERS, None);
    poll(&history, "c1", &[(0, "a"), (1, "c")]);
    poll(&history, "c1", &[(3, "b"), (4, "d")]);
    // Another consumer, which begins elsewhere, and after a rebalance reads again from its committed offset.
    poll(&history, "c2", &[(1, "c"), (3, "b")]);
    history.consumer("c2").committed([(ORDERS, 3)]);
    history.consumer("c2").positioned([ORDERS]);
    poll(&history, "c2", &[(3, "b")]);
    assert_eq!(anomalies(&history), []);
    let report = history.check();
    assert_eq!((report.sends(), report.acknowledged(), report.polled()), (6, 4, 7));
    assert_eq!(report.to_string(), "6 sends (4 acknowledged, 1 failed, 1 unknown), 7 records polled: valid");
    report.assert_valid();
}

#[test]
fn one_offset_is_one_record() {
    let history = History::new();
    acknowledge(&history, "p", "a", 0, 0);
    poll(&history, "c", &[(0, "b")]);
    // The first has it, so the other is missing; that it was never polled follows.
    assert_eq!(
        anomalies(&history),
        [(AnomalyKind::InconsistentOffsets, 0, vec![1, 2]), (AnomalyKind::Unseen, 0, vec![1])]
    );
}

#[test]
fn two_consumers_see_the_same() {
    let history = History::new();
    poll(&history, "c1", &[(0, "a"), (1, "b")]);
    poll(&history, "c2", &[(0, "a"), (1, "x")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::InconsistentOffsets, 1, vec![0, 1])]);
}

#[test]
fn an_acknowledged_record_before_one_that_was_polled_is_lost() {
    let history = History::new();
    acknowledge(&history, "p", "a", 0, 0);
    acknowledge(&history, "p", "b", 0, 1);
    poll(&history, "c", &[(1, "b")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::LostWrite, 0, vec![1, 4])]);
    // Unless it was deleted.
    history.deleted_before(ORDERS, 1);
    history.deleted_before(ORDERS, 0);
    assert_eq!(anomalies(&history), []);
}

#[test]
fn what_nobody_read_up_to_is_unseen() {
    let history = History::new();
    acknowledge(&history, "p", "a", 0, 0);
    acknowledge(&history, "p", "b", 0, 1);
    acknowledge(&history, "p", "c", 1, 7);
    poll(&history, "c", &[(0, "a")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::Unseen, 1, vec![3]), (AnomalyKind::Unseen, 7, vec![5])]);
}

#[test]
fn one_record_lies_at_one_place() {
    let history = History::new();
    acknowledge(&history, "p", "a", 0, 0);
    poll(&history, "c", &[(0, "a"), (1, "a")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::Duplicate, 1, vec![1, 2])]);
    let history = History::new();
    acknowledge(&history, "p", "a", 1, 0);
    poll(&history, "c", &[(0, "a")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::Duplicate, 0, vec![1, 2])]);
}

#[test]
fn records_of_one_producer_lie_in_the_order_of_their_sends() {
    let history = History::new();
    let first = history.producer("p").sending("orders", None, Some(b"a"));
    let second = history.producer("p").sending("orders", None, Some(b"b"));
    first.acknowledged(ORDERS, Some(1));
    second.acknowledged(ORDERS, Some(0));
    poll(&history, "c", &[(0, "b"), (1, "a")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::NonmonotonicSend, 0, vec![0, 1, 2, 3])]);
    // Of two producers there is no order, and of two partitions neither.
    let history = History::new();
    acknowledge(&history, "p", "a", 0, 1);
    acknowledge(&history, "q", "b", 0, 0);
    acknowledge(&history, "p", "c", 1, 0);
    poll(&history, "c", &[(0, "b"), (1, "a")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::Unseen, 0, vec![5])]);
}

#[test]
fn a_consumer_does_not_go_back_by_itself() {
    for again in [1, 0] {
        let history = History::new();
        poll(&history, "c", &[(0, "0"), (1, "1")]);
        poll(&history, "c", &[(again, &again.to_string())]);
        assert_eq!(anomalies(&history), [(AnomalyKind::NonmonotonicPoll, again, vec![0, 1])]);
    }
    // Nor within a poll.
    let history = History::new();
    poll(&history, "c", &[(1, "1"), (0, "0")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::NonmonotonicPoll, 0, vec![0])]);
}

#[test]
fn a_consumer_passes_nothing_by_that_is_there() {
    let history = History::new();
    poll(&history, "c1", &[(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
    poll(&history, "c2", &[(0, "a")]);
    poll(&history, "c2", &[(3, "d")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::PollSkip, 1, vec![0, 1, 2])]);
    // Known only later: what was skipped is looked for at the end.
    let history = History::new();
    poll(&history, "c2", &[(0, "a"), (3, "d")]);
    poll(&history, "c1", &[(0, "a"), (1, "b"), (3, "d")]);
    assert_eq!(anomalies(&history), [(AnomalyKind::PollSkip, 1, vec![0, 1])]);
}

#[test]
fn records_are_known_by_what_they_are_identified_by() {
    let history = History::identified_by(|key, _| bytes::Bytes::copy_from_slice(key.unwrap_or_default()));
    let producer = history.producer("p");
    producer.sending("orders", Some(b"1"), Some(b"same")).acknowledged(ORDERS, Some(0));
    producer.sending("orders", Some(b"2"), Some(b"same")).acknowledged(ORDERS, Some(1));
    let partition = TopicPartition::new("orders", 0);
    let record = |offset, key: &'static [u8]| (partition.clone(), offset, Some(key), Some(&b"same"[..]));
    history.consumer("c").polled([record(0, b"1"), record(1, b"2")]);
    assert_eq!(anomalies(&history), []);
}

#[test]
fn a_report_shows_what_happened_around_it() {
    let history = History::new();
    for (offset, id) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        acknowledge(&history, "shop", id, 0, offset as Offset);
    }
    acknowledge(&history, "shop", "elsewhere", 1, 0);
    history.consumer("billing").positioned([ORDERS]);
    poll(&history, "billing", &[(0, "a"), (1, "b")]);
    poll(&history, "billing", &[(3, "d"), (4, "e")]);
    history.consumer("billing").committed([(ORDERS, 5)]);
    let report = history.check();
    assert_eq!(
        report.to_string(),
        "\
6 sends (6 acknowledged, 0 failed, 0 unknown), 4 records polled: 1 lost-write, 1 poll-skip, 1 unseen

lost-write: \"c\", at orders-0@2, was acknowledged, and never polled, though @4 was
     #1      shop         has its send of #0 acknowledged at orders-0@0
     #3      shop         has its send of #2 acknowledged at orders-0@1
   > #5      shop         has its send of #4 acknowledged at orders-0@2
     #7      shop         has its send of #6 acknowledged at orders-0@3
     #9      shop         has its send of #8 acknowledged at orders-0@4
     #12     billing      begins to read orders-0 anew
     #13     billing      polls 2 of orders-0: \"a\"@0 \"b\"@1
   > #14     billing      polls 2 of orders-0: \"d\"@3 \"e\"@4
     #15     billing      commits orders-0@5

poll-skip: polled orders-0@3 after @1, past \"c\"@2 and 0 more
     #1      shop         has its send of #0 acknowledged at orders-0@0
     #3      shop         has its send of #2 acknowledged at orders-0@1
   > #5      shop         has its send of #4 acknowledged at orders-0@2
     #7      shop         has its send of #6 acknowledged at orders-0@3
     #9      shop         has its send of #8 acknowledged at orders-0@4
     #12     billing      begins to read orders-0 anew
   > #13     billing      polls 2 of orders-0: \"a\"@0 \"b\"@1
   > #14     billing      polls 2 of orders-0: \"d\"@3 \"e\"@4
     #15     billing      commits orders-0@5

unseen: \"elsewhere\", at orders-1@0, was acknowledged, and nobody has polled as far
   > #11     shop         has its send of #10 acknowledged at orders-1@0
"
    );
    assert_eq!(report.count(AnomalyKind::LostWrite), 1);
    let text = std::panic::catch_unwind(|| report.assert_valid()).unwrap_err();
    assert_eq!(text.downcast_ref::<String>(), Some(&report.to_string()));
}

#[test]
fn a_report_of_many_anomalies_stays_readable() {
    let history = History::new();
    for offset in 0..100 {
        acknowledge(&history, "p", &offset.to_string(), 0, offset);
    }
    let report = history.check();
    assert_eq!(report.count(AnomalyKind::Unseen), 100);
    let text = report.to_string();
    assert!(text.ends_with("\nand 90 more"), "{text}");
    assert_eq!(text.matches("\nunseen: ").count(), 10);
}
