//! The differential test: random sequences of operations, run here and on a real Apache Kafka, must show the same.
//!
//! `cargo test --features kafka-oracle --test oracle`. Needs Java and Maven. `BROKERLESS_ORACLE_CASES` multiplies how many
//! sequences run, `BROKERLESS_ORACLE_SEED` repeats a run.

#[path = "oracle/apache.rs"]
mod apache;
#[path = "oracle/apache_groups.rs"]
mod apache_groups;
#[path = "oracle/ask.rs"]
mod ask;
#[path = "oracle/ask_ours.rs"]
mod ask_ours;
#[path = "oracle/ask_theirs.rs"]
mod ask_theirs;
#[path = "oracle/batches.rs"]
mod batches;
#[path = "oracle/book.rs"]
mod book;
#[path = "oracle/generate.rs"]
mod generate;
#[path = "oracle/kafka.rs"]
mod kafka;
#[path = "oracle/known.rs"]
mod known;
#[path = "oracle/op.rs"]
mod op;
#[path = "oracle/ours.rs"]
mod ours;
#[path = "oracle/ours_groups.rs"]
mod ours_groups;
#[path = "oracle/requests.rs"]
mod requests;
#[path = "oracle/run.rs"]
mod run;
#[path = "oracle/scripted.rs"]
mod scripted;
#[path = "oracle/wire.rs"]
mod wire;

#[test]
fn topics_and_records() {
    run::compare("log", 60, |seed, now| generate::log_sequence(seed, 30, now));
}

#[test]
fn scripted_sequences() {
    let scripts = scripted::sequences();
    run::compare("scripted", scripts.len(), |case, now| scripts[case as usize % scripts.len()](now));
}

#[test]
fn consumer_groups() {
    run::compare("groups", 24, |seed, now| generate::group_sequence(seed, 14, now));
}

#[test]
fn group_requests() {
    requests::compare(60, 40);
}

#[test]
fn batches() {
    batches::compare(80, 30);
}
