//! Random operations on a compacted log, held against [`Model`].

use proptest::prelude::*;

use crate::log::model::{Garbage, KEYS, Model, Operation, PRODUCERS, Put, Settings};
use crate::util::testing::cases;

fn put() -> impl Strategy<Value = Put> {
    (0..KEYS, prop::option::weighted(0.75, 0..60u16), 0..80u8).prop_map(|(key, value, ago_ms)| Put {
        key,
        value,
        ago_ms,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let records = || prop::collection::vec(put(), 1..6);
    let producer = || 0..PRODUCERS;
    let share = || any::<u8>();
    let garbage = prop_oneof![
        Just(Garbage::NoKey),
        Just(Garbage::BrokenBody),
        Just(Garbage::WrongCount),
        producer().prop_map(|producer| Garbage::Gap { producer }),
        Just(Garbage::TooLarge),
    ];
    prop_oneof![
        10 => (records(), any::<bool>(), any::<bool>())
            .prop_map(|(records, compressed, trusted)| Operation::Put { records, compressed, trusted }),
        5 => (producer(), records()).prop_map(|(producer, records)| Operation::Send { producer, records }),
        2 => (producer(), 0..6u8).prop_map(|(producer, ago)| Operation::SendAgain { producer, ago }),
        5 => (producer(), records()).prop_map(|(producer, records)| Operation::Write { producer, records }),
        4 => (producer(), any::<bool>()).prop_map(|(producer, commit)| Operation::End { producer, commit }),
        1 => garbage.prop_map(|what| Operation::Garbage { what }),
        6 => share().prop_map(|share| Operation::Replicate { share }),
        4 => Just(Operation::Replicate { share: 255 }),
        4 => Just(Operation::Roll),
        3 => (0..200u16).prop_map(|ms| Operation::Later { ms }),
        3 => (any::<bool>(), 0..2_000u16)
            .prop_map(|(small_index, budget)| Operation::Begin { small_index, budget }),
        3 => Just(Operation::Finish),
        4 => any::<bool>().prop_map(|small_index| Operation::Clean { small_index }),
        1 => share().prop_map(|share| Operation::DeleteRecords { share }),
        1 => Just(Operation::Retention),
        1 => share().prop_map(|share| Operation::Truncate { share }),
        3 => (share(), 0..1_000u16).prop_map(|(share, max_bytes)| Operation::Read { share, max_bytes }),
        3 => (0..300u16).prop_map(|ms| Operation::Lookup { ms }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let retention_bytes = prop::option::weighted(0.3, 500..3_000u16);
    let max_lag_ms = prop::option::weighted(0.3, any::<u8>());
    let min_lag_ms = prop_oneof![2 => Just(0), 1 => any::<u8>()];
    let dirty_ratio = prop_oneof![2 => Just(0), 1 => any::<u8>()];
    (700..2_000u16, any::<u8>(), any::<bool>(), retention_bytes, 0..250u8, min_lag_ms, max_lag_ms, dirty_ratio)
        .prop_map(
            |(
                segment_bytes,
                index_interval_bytes,
                delete,
                retention_bytes,
                delete_retention_ms,
                min_lag_ms,
                max_lag_ms,
                dirty_ratio,
            )| {
                Settings {
                    segment_bytes,
                    index_interval_bytes,
                    delete,
                    retention_bytes,
                    delete_retention_ms,
                    min_lag_ms,
                    max_lag_ms,
                    dirty_ratio,
                }
            },
        )
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn invariants_14_36_37_hold_under_random_operations(
        settings in settings(),
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let mut model = Model::new(settings);
        for operation in &operations {
            model.run(operation);
        }
    }
}

/// A batch of so many records from one producer.
fn send(count: u8) -> Operation {
    let records = (0..count).map(|key| Put { key, value: Some(1), ago_ms: 0 }).collect();
    Operation::Send { producer: 1, records }
}

/// Holds a log that keeps everything against the model.
fn run(operations: &[Operation]) {
    let mut model = Model::new(Settings {
        segment_bytes: 1_000,
        index_interval_bytes: 100,
        delete: false,
        retention_bytes: None,
        delete_retention_ms: 0,
        min_lag_ms: 0,
        max_lag_ms: None,
        dirty_ratio: 0,
    });
    operations.iter().for_each(|operation| model.run(operation));
}

/// Found by the fuzz target `log_ops`: truncation reads again what a producer sent before it expired, and goes by it.
#[test]
fn truncation_brings_back_what_a_producer_was_known_by_before_it_expired() {
    run(&[
        send(2),
        Operation::Replicate { share: 255 },
        Operation::Later { ms: 1_000 },
        // Unknown by now, so it begins anew.
        send(1),
        Operation::Truncate { share: 0 },
        // Goes on behind the first batch.
        send(1),
        Operation::SendAgain { producer: 1, ago: 1 },
    ]);
}

/// Found by the fuzz target `log_ops`: what truncation brings back are sequences that the producer, which has begun anew,
/// comes to again.
#[test]
fn sequences_that_truncation_brings_back_are_repeated() {
    run(&[
        send(2),
        send(1),
        Operation::Replicate { share: 255 },
        Operation::Later { ms: 1_000 },
        // Unknown by now, so it begins anew.
        send(2),
        Operation::Replicate { share: 255 },
        send(3),
        Operation::Truncate { share: 0 },
        // Sequence 2, as before it expired.
        send(1),
        Operation::SendAgain { producer: 1, ago: 0 },
    ]);
}
