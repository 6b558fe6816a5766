//! Runs sequences on both, compares after each operation, and cuts down what disagrees.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::apache::Apache;
use crate::kafka::kafka;
use crate::known;
use crate::op::{Driver, Facts, Op};
use crate::ours::Ours;

/// A sequence mostly waits for Kafka.
const AT_A_TIME: usize = 3;

/// What a test did.
#[derive(Default)]
pub(crate) struct Counts {
    operations: AtomicUsize,
    comparisons: AtomicUsize,
    excused: AtomicUsize,
}

impl Counts {
    pub(crate) fn add(&self, operations: usize, comparisons: usize) {
        self.operations.fetch_add(operations, Ordering::Relaxed);
        self.comparisons.fetch_add(comparisons, Ordering::Relaxed);
    }

    /// Two answers differ, and may: `known` says why.
    pub(crate) fn excuse(&self) {
        self.excused.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one side saw and the other did not: a fact's name and value.
type Fact<'f> = Option<&'f (String, String)>;

/// For everybody to see: what a test prints goes under when it passes.
fn say(line: std::fmt::Arguments<'_>) {
    writeln!(std::io::stderr(), "{line}").expect("somewhere to write to");
}

/// Where the two saw different things.
struct Disagreement {
    ops: Vec<Op>,
    ours: Facts,
    theirs: Facts,
}

impl Disagreement {
    /// What differs, as one line: the same for the same disagreement in other sequences.
    fn summary(&self) -> String {
        let op = format!("{:?}", self.ops.last());
        let op = op.split(['{', '(', ' ']).nth(1).unwrap_or_default().to_owned();
        let differing = self.first_difference();
        format!("{op}: ours, Kafka's: {differing:?}")
    }

    /// The operation and the fact in dispute: what stays when other operations are left out.
    fn kind(&self) -> (Option<std::mem::Discriminant<Op>>, String, bool) {
        let (ours, theirs) = self.first_difference().unwrap_or_default();
        let name = ours.or(theirs).map(|(name, _)| name.clone()).unwrap_or_default();
        // Numbers in a fact's name depend on what came before.
        let name = name.chars().filter(|char| !char.is_ascii_digit()).collect();
        (self.ops.last().map(std::mem::discriminant), name, theirs.is_some_and(|(_, value)| value == "never"))
    }

    fn first_difference(&self) -> Option<(Fact<'_>, Fact<'_>)> {
        (0..self.ours.0.len().max(self.theirs.0.len()))
            .map(|index| (self.ours.0.get(index), self.theirs.0.get(index)))
            .find(|(ours, theirs)| ours != theirs)
    }
}

/// Runs as many sequences as asked for, or more by the environment, and panics with every disagreement.
pub(crate) fn compare(what: &str, cases: usize, generate: impl Fn(u64, i64) -> Vec<Op> + Sync) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let counts = Counts::default();
    let known = Mutex::new(BTreeSet::new());
    let run = |seed| {
        let disagreement = run(&kafka().bootstrap, &generate(seed, now), &counts)?;
        // The same disagreement in other sequences tells nothing new.
        if !known.lock().unwrap().insert(disagreement.summary()) {
            return None;
        }
        let it = minimise(&kafka().bootstrap, disagreement);
        let mut text = String::new();
        for op in &it.ops {
            text += &format!("    {op:?}\n");
        }
        let only = |one: &Facts, other: &Facts| {
            one.0.iter().filter(|fact| !other.0.contains(fact)).cloned().collect::<Vec<_>>()
        };
        text += &format!("  ours:    {:?}\n", only(&it.ours, &it.theirs));
        text += &format!("  Kafka's: {:?}\n", only(&it.theirs, &it.ours));
        Some((it.summary(), text))
    };
    self::cases(what, cases, run, &counts);
}

/// Runs cases side by side, each from a seed of its own, and panics with all that they find: a summary, which is told
/// once, and the whole story.
pub(crate) fn cases(what: &str, cases: usize, run: impl Fn(u64) -> Option<(String, String)> + Sync, counts: &Counts) {
    let kafka = kafka();
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = variable("BROKERLESS_ORACLE_SEED").unwrap_or(0x0b5e_55ed);
    let cases = variable("BROKERLESS_ORACLE_CASES").unwrap_or(1) as usize * cases;
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        return;
                    }
                    if let Some((summary, story)) = run(seed.wrapping_add(case as u64)) {
                        found.lock().unwrap().entry(summary).or_insert((case, story));
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let [operations, comparisons, excused] =
        [&counts.operations, &counts.comparisons, &counts.excused].map(|count| count.load(Ordering::Relaxed));
    say(format_args!(
        "oracle, {what}: {cases} sequences, {operations} operations, {comparisons} comparisons, {excused} known \
         deviations, {} disagreements in {:.1} s (seed {seed}; Kafka was up in {:.1} s)",
        found.len(),
        begin.elapsed().as_secs_f64(),
        kafka.took.as_secs_f64(),
    ));
    let mut text = String::new();
    for (summary, (case, story)) in &found {
        text += &format!("\ncase {case}: {summary}\n{story}");
    }
    assert!(found.is_empty(), "BROKERLESS_ORACLE_SEED={seed}: {} disagreements\n{text}", found.len());
}

/// A name that nobody else in this run has.
pub(crate) fn unique(what: &str) -> String {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    format!("{what}{}-", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// Runs one sequence up to the first disagreement.
fn run(bootstrap: &str, ops: &[Op], counts: &Counts) -> Option<Disagreement> {
    let prefix = unique("s");
    let mut ours = Ours::new(prefix.clone());
    let mut theirs = Apache::new(bootstrap, prefix.clone());
    for (index, op) in ops.iter().enumerate() {
        let start = Instant::now();
        if std::env::var_os("BROKERLESS_ORACLE_TRACE").is_some() {
            say(format_args!("BEGIN {:?} {op:?}", std::thread::current().id()));
        }
        let seen = ours.run(op).without(&prefix);
        let middle = Instant::now();
        let expected = theirs.run(op).without(&prefix);
        if std::env::var_os("BROKERLESS_ORACLE_TRACE").is_some() {
            say(format_args!("END {:?} {:?} {:?}", std::thread::current().id(), middle - start, middle.elapsed()));
        }
        counts.add(1, expected.0.len());
        assert!(seen.get("settle").is_none(), "a group that cannot settle: {:?}", &ops[..=index]);
        if seen != expected {
            if known::deviation(&ops[..index], op, &seen, &expected).is_none() {
                return Some(Disagreement { ops: ops[..=index].to_vec(), ours: seen, theirs: expected });
            }
            counts.excuse();
        }
    }
    None
}

/// Leaves out every operation that is not needed to disagree.
fn minimise(bootstrap: &str, mut found: Disagreement) -> Disagreement {
    let counts = Counts::default();
    let has_groups = found.ops.iter().any(|op| matches!(op, Op::Group(..)));
    let mut size = found.ops.len() / 2;
    while size > 0 {
        let mut start = 0;
        while start + size < found.ops.len() {
            let mut fewer = found.ops.clone();
            let mut part: Vec<_> = fewer.drain(start..start + size).collect();
            // What librdkafka makes of topics that are not there is a question of its own.
            part.retain(|op| has_groups && matches!(op, Op::CreateTopic { .. }));
            if part.len() == size {
                start += size;
                continue;
            }
            fewer.splice(start..start, part);
            match run(bootstrap, &fewer, &counts) {
                Some(smaller) if smaller.kind() == found.kind() => found = smaller,
                _ => start += size,
            }
        }
        size /= 2;
    }
    found
}
