//! Deadlines of a shard's groups, in virtual milliseconds.
//!
//! Bounds: one session timer for each member and each member id handed out and not yet used, one join and one sync
//! timer for each group. A timer that is scheduled again moves; it never fires twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What happens at a deadline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The group ends the phase in which it waits for members to join.
    Join { group_id: Arc<str> },
    /// Members that have not asked for their assignment are evicted.
    Sync { group_id: Arc<str> },
    /// The member has not been heard of for its session timeout.
    Session { group_id: Arc<str>, member_id: Arc<str> },
}

/// Every deadline of a shard, by time and by name.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(i64, Timer)>,
    deadlines: HashMap<Timer, i64>,
}

impl Timers {
    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        self.queue.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Sets the timer, or moves it.
    pub(super) fn schedule(&mut self, timer: Timer, deadline_ms: i64) {
        self.cancel(&timer);
        self.deadlines.insert(timer.clone(), deadline_ms);
        self.queue.insert((deadline_ms, timer));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, deadline_ms)) = self.deadlines.remove_entry(timer) {
            self.queue.remove(&(deadline_ms, timer));
        }
    }

    /// Takes the earliest timer whose deadline has come.
    pub(super) fn pop_due(&mut self, now_ms: i64) -> Option<Timer> {
        if self.next_deadline()? > now_ms {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.deadlines.clear();
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn is_scheduled(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(i64, Timer)> {
        self.queue.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_once_at_its_last_deadline() {
        let join = Timer::Join { group_id: "g".into() };
        let sync = Timer::Sync { group_id: "g".into() };
        let mut timers = Timers::default();
        timers.schedule(join.clone(), 10);
        timers.schedule(sync.clone(), 20);
        timers.schedule(join.clone(), 30);
        assert_eq!(timers.next_deadline(), Some(20));
        assert_eq!(timers.pop_due(19), None);
        assert_eq!(timers.pop_due(30), Some(sync));
        assert_eq!(timers.pop_due(30), Some(join.clone()));
        assert_eq!(timers.pop_due(30), None);
        timers.schedule(join.clone(), 40);
        timers.cancel(&join);
        assert_eq!(timers.next_deadline(), None);
    }
}
