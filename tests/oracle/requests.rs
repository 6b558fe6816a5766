//! The group coordinator's requests one by one, where clients would only send what fits: unknown members, old
//! generations, sync before join, two at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, TopicName,
};

use crate::ask::{Ask, sequence};
use crate::ask_ours::{Ours, OursAnswer};
use crate::ask_theirs::Theirs;
use crate::book::Book;
use crate::kafka::kafka;
use crate::known;
use crate::op::Facts;
use crate::run::{self, Counts};
use crate::wire::{Wire, text};

/// How long what Kafka does not answer is waited for.
const SILENCE: Duration = Duration::from_millis(15);
const PATIENCE: Duration = Duration::from_secs(1);

/// How the answers to one request differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    Facts {
        ours: Facts,
        theirs: Facts,
    },
    /// The request had been waiting since before the last one.
    OnlyHere {
        is_older: bool,
    },
    OnlyThere(Facts),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Facts { ours, theirs } => write!(f, "  ours:    {:?}\n  Kafka's: {:?}", ours.0, theirs.0),
            Self::OnlyHere { .. } => write!(f, "  answered only here"),
            Self::OnlyThere(theirs) => write!(f, "  answered only by Kafka: {:?}", theirs.0),
        }
    }
}

/// Both, and what they were asked.
struct Pair {
    ours: Ours,
    theirs: Theirs,
    comparisons: usize,
}

impl Pair {
    fn new() -> Self {
        let group = run::unique("r");
        Self { ours: Ours::new(&group), theirs: Theirs::new(&group), comparisons: 0 }
    }

    /// Asks both, unless an answer to the same member is still to come.
    fn ask(&mut self, index: usize, ask: &Ask) -> Result<(), Difference> {
        if ask.slot().is_some_and(|slot| self.ours.waiting.values().any(|(waiting, _, _)| *waiting == slot)) {
            return Ok(());
        }
        if let (Some(ours), Some(theirs)) = (self.ours.ask(index, ask), self.theirs.ask(index, ask)) {
            self.same(ours, theirs)?;
        }
        self.settle(index)
    }

    fn same(&mut self, ours: Facts, theirs: Facts) -> Result<(), Difference> {
        self.comparisons += theirs.0.len();
        if ours == theirs { Ok(()) } else { Err(Difference::Facts { ours, theirs }) }
    }

    /// Compares the answers that have come. `last`: the request that was sent last.
    fn settle(&mut self, last: usize) -> Result<(), Difference> {
        loop {
            if !self.ours.waiting.is_empty() {
                std::thread::sleep(Duration::from_millis(2));
            }
            let answers = self.ours.answers();
            let count = answers.len();
            for (index, slot, is_old, answer) in answers {
                let Some(theirs) = self.theirs.answer(index, PATIENCE) else {
                    return Err(Difference::OnlyHere { is_older: index < last });
                };
                let ours = match &answer {
                    OursAnswer::Joined(joined) => self.ours.book.joined(slot, is_old, joined),
                    OursAnswer::Synced(synced) => Book::synced(is_old, synced),
                };
                self.same(ours, theirs)?;
            }
            if count > 0 {
                continue;
            }
            // Kafka must be silent where we are.
            let waiting: Vec<_> = self.ours.waiting.keys().copied().collect();
            let is_answered = |index: &usize| self.theirs.is_answered(*index, SILENCE);
            let Some(early) = waiting.into_iter().find(is_answered) else { return Ok(()) };
            let begin = Instant::now();
            while !self.ours.waiting[&early].2.is_finished() {
                if begin.elapsed() > PATIENCE {
                    let theirs = self.theirs.answer(early, PATIENCE).unwrap_or_default();
                    return Err(Difference::OnlyThere(theirs));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Runs a sequence up to the first disagreement, or to where the two go different ways on purpose. Returns how many
/// comparisons that took, how many requests, and what they disagree in.
fn run(asks: &[Ask], counts: &Counts) -> (usize, Option<Difference>) {
    let mut pair = Pair::new();
    let (mut count, mut difference) = (asks.len(), None);
    for (index, ask) in asks.iter().enumerate() {
        if let Err(it) = pair.ask(index, ask) {
            (count, difference) = (index + 1, Some(it));
            break;
        }
    }
    counts.add(count, pair.comparisons);
    // From a known deviation on the groups are no longer the same, so that ends a sequence, too.
    if difference.take_if(|it| known::deviation_of_requests(&asks[count - 1], it).is_some()).is_some() {
        counts.excuse();
    }
    (count, difference)
}

/// Leaves out every request that is not needed to disagree in the same way.
fn minimise(mut asks: Vec<Ask>, difference: &Difference) -> Vec<Ask> {
    let mut at = asks.len() - 1;
    while at > 0 {
        at -= 1;
        let mut fewer = asks.clone();
        fewer.remove(at);
        let (count, smaller) = run(&fewer, &Counts::default());
        if count == fewer.len() && smaller.as_ref() == Some(difference) {
            asks = fewer;
        }
    }
    asks
}

pub(crate) fn compare(cases: usize, length: usize) {
    prepare();
    let counts = Counts::default();
    let found = Mutex::new(BTreeSet::new());
    let run = |seed| {
        let mut asks = sequence(seed, length);
        let (count, difference) = run(&asks, &counts);
        let difference = difference?;
        let text = difference.to_string();
        if !found.lock().unwrap().insert(text.clone()) {
            return None;
        }
        asks.truncate(count);
        let asks: Vec<_> = minimise(asks, &difference).iter().map(|ask| format!("    {ask:?}\n")).collect();
        Some((text, asks.concat()))
    };
    run::cases("group requests", cases, run, &counts);
}

/// The topics, and a coordinator that is up.
fn prepare() {
    let mut wire = Wire::connect(&kafka().bootstrap).expect("a connection to Kafka");
    let topic = |name: &str, partitions| {
        CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
    };
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic("t", 2), topic("u", 1)]).with_timeout_ms(30_000);
    wire.send(request, 7).expect("topics");
    let begin = Instant::now();
    loop {
        let names = (0..20).map(|index| GroupId(text(format!("probe{index}")))).collect::<Vec<_>>();
        let answer = wire.send(DescribeGroupsRequest::default().with_groups(names), 6).expect("an answer");
        if answer.groups.iter().all(|group| ![14, 15, 16].contains(&group.error_code)) {
            return;
        }
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("probe")]);
        wire.send(find, 4).expect("an answer");
        assert!(begin.elapsed() < Duration::from_secs(30), "no group coordinator");
        std::thread::sleep(Duration::from_millis(20));
    }
}
