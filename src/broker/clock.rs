//! [`Clock`]: the one place where time enters.
//!
//! Tokio's time, so `tokio::time::pause()` and `advance()` drive everything that waits or stamps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970 that advance with tokio's clock: wall time was read once, when the cluster started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    /// Nanoseconds since 1970 at `origin`.
    origin_ns: i64,
}

impl Clock {
    /// A clock that starts at the system's wall time.
    pub(crate) fn start() -> Self {
        Self::start_at(SystemTime::now())
    }

    /// A clock that starts at this wall time, or in 1970 if it is before that.
    pub(crate) fn start_at(wall_time: SystemTime) -> Self {
        let since_1970 = wall_time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_ns: since_1970.as_nanos() as i64 }
    }

    /// Now, to wait and to measure by.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Now, in ms since 1970.
    #[inline]
    pub(crate) fn now_ms(&self) -> i64 {
        self.ms_at(Instant::now())
    }

    /// The wall time, in ms since 1970, of an instant.
    #[inline]
    pub(crate) fn ms_at(&self, instant: Instant) -> i64 {
        (self.origin_ns + instant.saturating_duration_since(self.origin).as_nanos() as i64) / 1_000_000
    }

    /// The first instant at which [`Clock::now_ms`] is at least `deadline_ms`.
    pub(crate) fn instant_at(&self, deadline_ms: i64) -> Instant {
        let ns = deadline_ms.saturating_mul(1_000_000).saturating_sub(self.origin_ns).max(0);
        // Deadlines of `i64::MAX` ms mean never; a century is as good and does not overflow an instant.
        const CENTURY_NS: i64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;
        self.origin + Duration::from_nanos(ns.min(CENTURY_NS) as u64)
    }

    /// Sleeps until [`Clock::now_ms`] is at least `deadline_ms`.
    pub(crate) async fn sleep_until_ms(&self, deadline_ms: i64) {
        tokio::time::sleep_until(self.instant_at(deadline_ms)).await;
    }
}
