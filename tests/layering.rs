//! Holds the sources against the architecture: imports run strictly downward, and what a layer must not contain is not
//! there. Reads text, not syntax trees: comments and literals are blanked out, then every path and macro call is looked at.
//!
//! Names the file and the line of each offence.

#[path = "layering/scanner.rs"]
mod scanner;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use scanner::{Found, Scanner};

/// Each module of the crate, and which others it may name by `crate::` (or by climbing out with `super::`).
const MAY_IMPORT: &str = "
    util        |
    types       | util
    error       | util types
    metrics     | util types error
    config      | util types error metrics
    record      | util types error metrics config
    log         | util types error metrics config record
    partition   | util types error metrics config record log
    controller  | util types error metrics config record
    coordinator | util types error metrics config record
    auth        | util types error metrics config record
    broker      | util types error metrics config record log partition controller coordinator auth
    cluster     | util types error metrics config record log partition controller coordinator auth broker
    client      | util types error metrics config record cluster
    wire        | util types error metrics config record auth broker cluster
    blocking    | types error metrics config record cluster client typed
    typed       | types error metrics config record cluster client
    table_view  | types error metrics config record cluster client typed
    processing  | types error metrics config record cluster client
    request_reply | types error metrics config record cluster client
    testing     | types error cluster client
    fuzzing     | log coordinator
    oracle      | util types error record log cluster
    manual      |
";

/// Crates that only some modules may name, whatever Cargo.toml says. Test code may name them anywhere.
const ONLY_IN: &[(&str, &[&str])] = &[
    (
        "tokio",
        &["broker", "cluster", "client", "wire", "blocking", "typed", "table_view", "processing", "request_reply"],
    ),
    ("kafka_protocol", &["wire"]),
    ("rdkafka", &["bridge"]),
];

/// Paths that only the files listed may name: (how a path ends, the files, what to do instead). Test code may name them.
const RESTRICTED: &[(&str, &[&str], &str)] = &[
    ("Instant::now", CLOCKS, "ask the cluster's Clock"),
    ("SystemTime::now", CLOCKS, "ask the cluster's Clock"),
    ("tokio::sync::Mutex", &[], "use a parking_lot lock for a short section"),
    ("std::sync::mpsc", &[], "bound the queue"),
    ("mpsc::unbounded_channel", &[], "bound the queue"),
    ("unbounded", &[], "bound the queue"),
    ("UnboundedSender", &[], "bound the queue"),
    ("UnboundedReceiver", &[], "bound the queue"),
    ("println!", &[], "a library does not print"),
    ("eprintln!", &[], "a library does not print"),
    ("print!", &[], "a library does not print"),
    ("eprint!", &[], "a library does not print"),
    ("dbg!", &[], "a library does not print"),
    ("todo!", &[], "finish it"),
    ("unimplemented!", &[], "finish it"),
    (
        "unsafe",
        &["src/util/coarse_time.rs", "src/util/prefetch.rs"],
        "name the file here, with a safety comment and a Miri or loom test beside it",
    ),
];

const CLOCKS: &[&str] = &["src/broker/clock.rs", "src/util/coarse_time.rs"];

/// What tests of every layer may name.
const TEST_SUPPORT: [&str; 2] = ["util", "testing"];

#[test]
fn the_sources_respect_the_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(root, &root.join("src"), &mut sources);
    assert!(sources.len() > 30, "only {} files found under src", sources.len());
    let violations = violations(&sources);
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

fn collect(root: &Path, dir: &Path, sources: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            sources.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Everything that is wrong with these files, as `file:line: what`.
fn violations(sources: &[(String, String)]) -> Vec<String> {
    let table = table();
    let files: Vec<_> = sources.iter().map(|(name, text)| File::new(name, text)).collect();
    // What lib.rs re-exports is named by way of its module, so `crate::Error` counts as `crate::error`.
    let lib = files.iter().find(|file| file.name == "src/lib.rs");
    let reexports: BTreeMap<String, String> = (lib.into_iter().flat_map(|lib| &lib.paths))
        .filter_map(|path| Some((path.segments.last()?.clone(), path.segments.first()?.clone())))
        .collect();
    let test_files: Vec<String> = files.iter().flat_map(|file| file.test_children()).collect();
    let mut violations = Vec::new();
    for file in &files {
        let is_test_file = test_files
            .iter()
            .any(|test| file.name == format!("{test}.rs") || file.name.starts_with(&format!("{test}/")));
        for path in &file.paths {
            let is_test = is_test_file || path.is_test;
            let complain = |what: String| format!("{}:{}: {what}", file.name, path.line);
            if file.name != "src/lib.rs"
                && !(is_test && path.segments.windows(2).any(|pair| pair == TEST_SUPPORT))
                && let Some(first) = file.resolve(path)
            {
                let target = reexports.get(&first).unwrap_or(&first).clone();
                match table.get(file.module.as_str()) {
                    None => violations.push(complain(format!("`{}` has no row in the table of layers", file.module))),
                    Some(may) if target != file.module && !may.contains(&target.as_str()) => {
                        violations.push(complain(format!("`{}` may not import `{target}` ({path})", file.module)));
                    }
                    Some(_) => {}
                }
            }
            if is_test {
                continue;
            }
            for (name, modules) in ONLY_IN {
                if path.segments[0] == *name && !modules.contains(&file.module.as_str()) {
                    violations.push(complain(format!("`{name}` belongs in {modules:?} only ({path})")));
                }
            }
            for (tail, allowed, instead) in RESTRICTED {
                let tail: Vec<_> = tail.split("::").collect();
                let begins = path.segments.starts_with(&tail.iter().map(ToString::to_string).collect::<Vec<_>>());
                if (begins || path.ends_with(&tail)) && !allowed.contains(&file.name.as_str()) {
                    violations.push(complain(format!("`{path}`: {instead}")));
                }
            }
        }
    }
    violations.sort();
    violations.dedup();
    violations
}

fn table() -> BTreeMap<&'static str, Vec<&'static str>> {
    let row = |line: &'static str| {
        let (module, may) = line.split_once('|').unwrap();
        (module.trim(), may.split_whitespace().collect())
    };
    MAY_IMPORT.lines().filter(|line| line.contains('|')).map(row).collect()
}

struct File {
    name: String,
    /// The top module that it belongs to; empty for lib.rs.
    module: String,
    /// Its own depth: 1 for `src/log/mod.rs`, 2 for `src/log/segment.rs`.
    depth: usize,
    paths: Vec<Found>,
    /// Modules in files of their own that are declared under `#[cfg(test)]`.
    test_modules: Vec<String>,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let inside = name.trim_start_matches("src/").trim_end_matches(".rs");
        let mut modules: Vec<_> = inside.split('/').collect();
        if matches!(modules.last(), Some(&"mod" | &"lib")) {
            modules.pop();
        }
        let mut scanner = Scanner::new(text);
        scanner.run();
        Self {
            name: name.into(),
            module: modules.first().copied().unwrap_or_default().into(),
            depth: modules.len(),
            paths: scanner.found,
            test_modules: scanner.test_modules,
        }
    }

    /// The first name after the crate's root, if the path goes through the root.
    fn resolve(&self, path: &Found) -> Option<String> {
        let first = path.segments[0].as_str();
        let climbed = path.segments.iter().take_while(|segment| *segment == "super").count();
        let skip = match first {
            "crate" => 1,
            "super" if climbed >= self.depth + path.inline_depth => climbed,
            _ => return None,
        };
        path.segments.get(skip).cloned()
    }

    /// Where its test modules are, without `.rs`.
    fn test_children(&self) -> Vec<String> {
        let own = self.name.trim_end_matches(".rs");
        let dir = own.strip_suffix("/mod").or(own.strip_suffix("/lib")).unwrap_or(own);
        self.test_modules.iter().map(|module| format!("{dir}/{module}")).collect()
    }
}

mod the_test_itself {
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        violations(&sources)
    }

    #[test]
    fn upward_imports_are_found_however_they_are_written() {
        let bad = "use crate::{\n    error::Error,\n    broker::{Clock, self as b},\n};\nfn f() -> crate::cluster::Cluster {}\n";
        assert_eq!(
            check(&[("src/log/segment.rs", bad)]),
            [
                "src/log/segment.rs:3: `log` may not import `broker` (crate::broker::Clock)",
                "src/log/segment.rs:3: `log` may not import `broker` (crate::broker::self)",
                "src/log/segment.rs:5: `log` may not import `cluster` (crate::cluster::Cluster)",
            ]
        );
        assert_eq!(
            check(&[(
                "src/types/mod.rs",
                "use super::error::Error; mod inner { use super::super::broker; use super::x; }"
            )]),
            [
                "src/types/mod.rs:1: `types` may not import `broker` (super::super::broker)",
                "src/types/mod.rs:1: `types` may not import `error` (super::error::Error)",
            ]
        );
        assert_eq!(
            check(&[("src/coordinator/group/mod.rs", "use crate::controller::Controller;")]),
            [
                "src/coordinator/group/mod.rs:1: `coordinator` may not import `controller` (crate::controller::Controller)"
            ]
        );
    }

    #[test]
    fn reexports_of_the_root_count_as_their_module() {
        let lib = ("src/lib.rs", "mod cluster; pub use cluster::Cluster; pub use error::{Error, Result as R};");
        assert_eq!(
            check(&[lib, ("src/log/mod.rs", "use crate::Error;\nuse crate::Cluster;")]),
            ["src/log/mod.rs:2: `log` may not import `cluster` (crate::Cluster)"]
        );
    }

    #[test]
    fn modules_without_a_row_are_found() {
        assert_eq!(
            check(&[("src/streams.rs", "use crate::error::Error;")]),
            ["src/streams.rs:1: `streams` has no row in the table of layers"]
        );
    }

    #[test]
    fn restricted_crates_and_calls_are_found() {
        let bad = "use tokio::sync::{mpsc, Mutex};\nfn f() { std::time::Instant::now(); println!(\"\"); todo!() }\nunsafe fn g() {}\nuse std::sync::mpsc::channel;\n";
        assert_eq!(
            check(&[("src/broker/append.rs", bad)]),
            [
                "src/broker/append.rs:1: `tokio::sync::Mutex`: use a parking_lot lock for a short section",
                "src/broker/append.rs:2: `println!`: a library does not print",
                "src/broker/append.rs:2: `std::time::Instant::now`: ask the cluster's Clock",
                "src/broker/append.rs:2: `todo!`: finish it",
                "src/broker/append.rs:3: `unsafe`: name the file here, with a safety comment and a Miri or loom test beside it",
                "src/broker/append.rs:4: `std::sync::mpsc::channel`: bound the queue",
            ]
        );
        assert_eq!(
            check(&[("src/log/mod.rs", "use tokio::time;\nfn f() { kafka_protocol::f() }")]),
            [
                "src/log/mod.rs:1: `tokio` belongs in [\"broker\", \"cluster\", \"client\", \"wire\", \"blocking\", \"typed\", \"table_view\", \"processing\", \"request_reply\"] only (tokio::time)",
                "src/log/mod.rs:2: `kafka_protocol` belongs in [\"wire\"] only (kafka_protocol::f)",
            ]
        );
        assert_eq!(check(&[("src/broker/clock.rs", "fn f() { Instant::now() }")]), Vec::<String>::new());
    }

    #[test]
    fn comments_literals_and_test_code_are_passed_over() {
        let good = r###"
            //! use crate::broker::Clock; println!()
            /* tokio:: /* nested */ todo!() */
            const A: &str = "crate::broker \" println!()"; const B: &[u8] = br#"unsafe " todo!()"#;
            fn f<'a>(c: char) -> bool { c != '"' && c != '\'' && c == 'x' } // todo!()
            #[cfg(test)]
            mod tests { use tokio::time::Instant; fn f() { Instant::now(); println!("{}", "}") } }
            #[cfg(test)]
            mod model;
            fn macros_without_names() { if a != b {} let unsafe_code = 1; }
        "###;
        let model = ("src/log/model/rows.rs", "use tokio::time;");
        assert_eq!(check(&[("src/log/mod.rs", good), model]), Vec::<String>::new());
        let after = format!("{good}\nfn g() {{ todo!() }}");
        assert_eq!(check(&[("src/log/mod.rs", &after)]), ["src/log/mod.rs:12: `todo!`: finish it"]);
    }
}
