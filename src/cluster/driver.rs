//! The cluster's one background task: group timers, retention, compaction.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::cluster::ClusterInner;
use crate::util::race::race;

/// The background task and what wakes it early. It holds the cluster weakly and is aborted when the cluster goes.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Driver {
    /// Starts the task on the current runtime, unless it runs already. Without a runtime nothing happens: a later call
    /// from within one starts it.
    pub(crate) fn ensure_running(&self, cluster: &Arc<ClusterInner>) {
        let mut task = self.task.lock();
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let timers_changed = Arc::clone(&cluster.timers_changed);
            *task = Some(runtime.spawn(run(Arc::downgrade(cluster), timers_changed)));
        }
    }

    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn run(cluster: Weak<ClusterInner>, timers_changed: Arc<Notify>) {
    loop {
        // The strong reference must not outlive this block: the task would keep its own cluster alive.
        let (clock, now_ms, deadline_ms) = {
            let Some(cluster) = cluster.upgrade() else { return };
            let now_ms = cluster.clock.now_ms();
            (cluster.clock, now_ms, cluster.run_due())
        };
        if deadline_ms <= now_ms {
            // There is more to do, and everybody else gets a turn before.
            one_turn().await;
            continue;
        }
        race(timers_changed.notified(), clock.sleep_until_ms(deadline_ms)).await;
    }
}

/// Goes to the end of the queue of tasks that are ready. Tokio's own `yield_now` lets a busy runtime look at its timers
/// first, which it does once in 61 turns: too seldom where every turn is a piece of work.
async fn one_turn() {
    let mut had_it = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had_it, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
