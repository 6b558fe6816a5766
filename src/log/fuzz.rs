//! Bytes as operations on a log: what the fuzz target `log_ops` drives.

use crate::log::model::{Garbage, KEYS, Model, Operation, PRODUCERS, Put, Settings};

/// An input is read byte by byte; what is missing at its end is 0.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| value(self))
    }

    fn settings(&mut self) -> Settings {
        Settings {
            segment_bytes: self.u16() % 3_000,
            index_interval_bytes: self.u8(),
            delete: self.bool(),
            retention_bytes: self.option(|bytes| 500 + bytes.u16() % 3_000),
            delete_retention_ms: self.u8(),
            min_lag_ms: self.option(Self::u8).unwrap_or_default(),
            max_lag_ms: self.option(Self::u8),
            dirty_ratio: self.option(Self::u8).unwrap_or_default(),
        }
    }

    fn records(&mut self) -> Vec<Put> {
        let count = 1 + self.u8() % 5;
        let put = |bytes: &mut Self| {
            let first = bytes.u8();
            Put { key: first % KEYS, value: (first >= 64).then(|| bytes.u8().into()), ago_ms: bytes.u8() % 80 }
        };
        (0..count).map(|_| put(self)).collect()
    }

    fn operation(&mut self) -> Operation {
        match self.u8() % 20 {
            0..=2 => {
                let flags = self.u8();
                Operation::Put { compressed: flags & 1 == 1, trusted: flags & 2 == 2, records: self.records() }
            }
            3 => Operation::Send { producer: self.u8() % PRODUCERS, records: self.records() },
            4 => Operation::SendAgain { producer: self.u8() % PRODUCERS, ago: self.u8() % 6 },
            5 | 6 => Operation::Write { producer: self.u8() % PRODUCERS, records: self.records() },
            7 => Operation::End { producer: self.u8() % PRODUCERS, commit: self.bool() },
            8 => Operation::Garbage {
                what: match self.u8() % 5 {
                    0 => Garbage::NoKey,
                    1 => Garbage::BrokenBody,
                    2 => Garbage::WrongCount,
                    3 => Garbage::Gap { producer: self.u8() % PRODUCERS },
                    _ => Garbage::TooLarge,
                },
            },
            9 => Operation::Replicate { share: self.u8() },
            10 => Operation::Replicate { share: u8::MAX },
            11 => Operation::Roll,
            12 => Operation::Later { ms: self.u16() % 1_200 },
            13 => Operation::Begin { small_index: self.bool(), budget: self.u16() % 2_000 },
            14 => Operation::Finish,
            15 => Operation::Clean { small_index: self.bool() },
            16 => Operation::DeleteRecords { share: self.u8() },
            17 => {
                if self.bool() {
                    Operation::Retention
                } else {
                    Operation::Truncate { share: self.u8() }
                }
            }
            18 => Operation::Read { share: self.u8(), max_bytes: self.u16() % 1_000 },
            _ => Operation::Lookup { ms: self.u16() % 300 },
        }
    }
}

/// Runs the operations that `data` stands for on a log with the settings that it begins with, and holds the log against
/// the model after each of them. Panics where they disagree.
pub(crate) fn log_ops(data: &[u8]) {
    /// More of them find nothing that fewer do not, and take long.
    const MAX_OPERATIONS: usize = 200;
    let mut bytes = Bytes(data);
    let mut model = Model::new(bytes.settings());
    for _ in 0..MAX_OPERATIONS {
        if bytes.0.is_empty() {
            break;
        }
        model.run(&bytes.operation());
    }
}
