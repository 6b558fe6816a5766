//! Threads of the blocking clients: one for all of them, while there is any.
//!
//! A binary of its own, because it counts every thread of the process, whatever its name. Where there is no `/proc` there
//! is nothing to count.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use brokerless::blocking::Cluster;
use brokerless::{ConsumerConfig, NewTopic, ProducerConfig, ProducerRecord};

/// How many threads the process has.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn there_is_one_thread_for_all_clusters_and_it_ends_with_the_last_handle() {
    let before = threads();
    for _ in 0..3 {
        let clusters: Vec<_> = (0..3).map(|_| Cluster::in_memory()).collect();
        let clients: Vec<_> = clusters
            .iter()
            .map(|cluster| {
                cluster.admin().create_topic(NewTopic::new("t")).unwrap();
                // Its batch waits for the background thread, and a group needs one, too.
                let producer = cluster.producer(ProducerConfig::default().linger(Duration::from_millis(1))).unwrap();
                producer.send(ProducerRecord::to("t").value("v")).unwrap().wait().unwrap();
                let mut consumer = cluster.consumer(ConsumerConfig::group("g")).unwrap();
                consumer.subscribe(["t"]).unwrap();
                while consumer.assignment().is_empty() {
                    consumer.poll(Duration::from_millis(1)).unwrap();
                }
                (producer, consumer, cluster.admin())
            })
            .collect();
        assert_eq!(threads(), before + 1);
        drop(clusters);
        assert_eq!(threads(), before + 1, "the clients hold it");
        drop(clients);
        // The last handle has joined the thread; the system takes it off its list a moment later.
        let deadline = Instant::now() + Duration::from_secs(30);
        while threads() > before {
            assert!(Instant::now() < deadline, "{} threads, and {before} at first", threads());
            std::thread::yield_now();
        }
    }
}
