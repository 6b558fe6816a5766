//! [`CleanerConfig`]: the broker's settings of compaction.

use crate::config::property::{invalid, parse_bool, parse_f64, parse_i32, parse_i64};
use crate::error::Result;

/// The broker's settings of compaction: Kafka's `log.cleaner.*`, but for those that give topics their defaults.
///
/// `log.cleaner.threads`, `log.cleaner.io.buffer.size` and `log.cleaner.io.buffer.load.factor` are checked and have no
/// effect: there is one background task, nothing is read into buffers, and the table of keys grows as it fills.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CleanerConfig {
    /// `log.cleaner.enable`, true.
    pub(crate) enable: bool,
    /// `log.cleaner.dedupe.buffer.size`, 128 MiB: what the index of a run may take.
    pub(crate) dedupe_buffer_size: usize,
    /// `log.cleaner.threads`, 1: divides the buffer in Kafka, so it bounds how small that may be.
    threads: i32,
    /// `log.cleaner.backoff.ms`, 15 s.
    backoff_ms: i64,
    /// `log.cleaner.io.max.bytes.per.second`, without bound.
    max_bytes_per_second: f64,
}

/// The one float is a rate that was checked to be a number above 0.
impl Eq for CleanerConfig {}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            enable: true,
            dedupe_buffer_size: 128 << 20,
            threads: 1,
            backoff_ms: 15_000,
            max_bytes_per_second: f64::MAX,
        }
    }
}

impl CleanerConfig {
    /// Sets one property from its text; false for a name that is not here.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "log.cleaner.enable" => self.enable = parse_bool(name, value)?,
            "log.cleaner.backoff.ms" => self.backoff_ms = parse_i64(name, value, 0..)?,
            "log.cleaner.dedupe.buffer.size" => {
                self.dedupe_buffer_size = usize::try_from(parse_i64(name, value, 1..)?).unwrap_or(usize::MAX);
            }
            "log.cleaner.io.max.bytes.per.second" => {
                self.max_bytes_per_second = parse_f64(name, value, f64::MIN_POSITIVE..)?;
            }
            "log.cleaner.threads" => self.threads = parse_i32(name, value, 1..)?,
            "log.cleaner.io.buffer.size" => drop(parse_i32(name, value, 0..)?),
            "log.cleaner.io.buffer.load.factor" => drop(parse_f64(name, value, ..)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What takes more than one property to check: an index that is too small makes each run take in next to nothing.
    pub(crate) fn validate(&self) -> Result<()> {
        let per_thread = self.dedupe_buffer_size / self.threads as usize;
        if per_thread <= 1 << 20 {
            let (name, size) = ("log.cleaner.dedupe.buffer.size", self.dedupe_buffer_size);
            return Err(invalid(name, size, format_args!("{name} must be at least 1MB per cleaner thread.")));
        }
        Ok(())
    }

    /// How long to wait when no log needs compaction. Not 0, which would keep the background task busy looking.
    pub(crate) fn backoff_ms(&self) -> i64 {
        self.backoff_ms.max(1)
    }

    /// How long so many bytes of the log may keep the cleaner busy.
    pub(crate) fn ms_for(&self, bytes: usize) -> i64 {
        (bytes as f64 * 1000.0 / self.max_bytes_per_second) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_names_and_bounds() {
        let mut config = CleanerConfig::default();
        for (name, value) in [
            ("log.cleaner.enable", "false"),
            ("log.cleaner.backoff.ms", "0"),
            ("log.cleaner.dedupe.buffer.size", "8388608"),
            ("log.cleaner.io.max.bytes.per.second", "1048576"),
            ("log.cleaner.threads", "4"),
            ("log.cleaner.io.buffer.size", "524288"),
            ("log.cleaner.io.buffer.load.factor", "0.9"),
        ] {
            assert!(config.set(name, value).unwrap(), "{name}");
        }
        assert_eq!((config.enable, config.dedupe_buffer_size, config.backoff_ms()), (false, 8 << 20, 1));
        assert_eq!((config.ms_for(2 << 20), CleanerConfig::default().ms_for(2 << 20)), (2000, 0));
        assert!(!config.set("log.cleaner.min.cleanable.ratio", "0.5").unwrap());
        assert!(config.set("log.cleaner.backoff.ms", "-1").is_err());
        assert!(config.set("log.cleaner.enable", "perhaps").is_err());
        assert_eq!(config.validate().map_err(|error| error.to_string()), Ok(()));
        config.set("log.cleaner.threads", "8").unwrap();
        let refused = config.validate().unwrap_err().to_string();
        assert!(refused.contains("at least 1MB per cleaner thread"), "{refused}");
    }
}
