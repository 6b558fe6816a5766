//! Every link of the README, the changelog and the manual leads somewhere: to a file or directory of this repository, and
//! where it names a heading, to one that is there. Links into the crate (`crate::Cluster`) are rustdoc's to check; only the
//! headings of the manual's pages, which it takes on trust, are looked for here.
//!
//! Names the file and the line of each link that is broken.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    for entry in fs::read_dir(root.join("src/manual")).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_str().unwrap().ends_with(".md") {
            pages.push(Path::new("src/manual").join(name));
        }
    }
    pages.sort();
    let (mut looked_at, mut broken) = (0, Vec::new());
    for page in &pages {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for (line, target) in links(&text) {
            looked_at += 1;
            if let Err(why) = resolve(root, page, &target) {
                broken.push(format!("{}:{line}: {target}: {why}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    // A scanner that finds nothing finds nothing wrong.
    assert!(looked_at > 40, "only {looked_at} links in {} pages", pages.len());
}

/// The target of each link, with the line it ends in: `[text](target)`, and `[text]: target` at the begin of a line. Code is
/// passed over.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in lines_without_code(text) {
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.push((number, target.trim().to_owned()));
        }
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = &rest[..rest.find(')').unwrap_or(rest.len())];
            // Behind a blank there may be a title.
            found.push((number, target.split_whitespace().next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// Lines with their numbers, from 1: those of fenced blocks are left out, and of code within a line only its backticks stay.
fn lines_without_code(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let outside = |(index, part): (usize, &str)| if index % 2 == 0 { part.to_owned() } else { String::new() };
        (!fenced).then(|| (number, line.split('`').enumerate().map(outside).collect::<Vec<_>>().join("`")))
    })
}

/// Whether a link on `page` leads somewhere, and if not, why.
fn resolve(root: &Path, page: &Path, target: &str) -> Result<(), String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return Ok(());
    }
    if target.is_empty() {
        return Err("it has no target".to_owned());
    }
    let (path, heading) = match target.split_once('#') {
        Some((path, heading)) => (path, Some(heading)),
        None => (target, None),
    };
    let file = match path.strip_prefix("crate::manual::") {
        Some(page) => root.join(format!("src/manual/{page}.md")),
        None if path.contains("::") => return Ok(()),
        None if path.is_empty() => root.join(page),
        None => root.join(page).parent().expect("a file lies in a directory").join(path),
    };
    if !file.exists() {
        return Err("there is no such file".to_owned());
    }
    let Some(heading) = heading else { return Ok(()) };
    if file.extension().is_none_or(|extension| extension != "md") {
        return Err("only Markdown has headings".to_owned());
    }
    let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
    if anchors(&text).iter().any(|anchor| anchor == heading) {
        return Ok(());
    }
    Err("there is no such heading".to_owned())
}

/// What the headings of a page are linked by, on GitHub as in rustdoc: in lower case, blanks as dashes, without punctuation.
/// A heading that is there before gets a number.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if fenced || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
            .map(|char| if char == ' ' { '-' } else { char })
            .collect();
        let again = (1..).map(|number| format!("{slug}-{number}"));
        let anchor = std::iter::once(slug.clone()).chain(again).find(|anchor| !anchors.contains(anchor));
        anchors.extend(anchor);
    }
    anchors
}

#[test]
fn links_are_found_and_code_is_passed_over() {
    let text = "[one](a.md) and [two](b.md#c \"title\"), `[no](no.md)` [`three`](three)\n\
                ```rust\n[no](no.md)\n```\n[a link\nover two lines](d.md)\n[ref]: e.md\n";
    let expected = [(1, "a.md"), (1, "b.md#c"), (1, "three"), (6, "d.md"), (7, "e.md")];
    assert_eq!(links(text), expected.map(|(line, target)| (line, target.to_owned())));
}

#[test]
fn broken_links_are_told_from_good_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = Path::new("src/manual/limits.md");
    let good = [
        "semantics.md",
        "semantics.md#settings",
        "#memory-of-the-logs",
        "../lib.rs",
        "../record",
        "https://example.org/x",
        "crate::Cluster::builder",
        "super::semantics",
        "crate::manual::semantics#settings",
    ];
    for target in good {
        assert_eq!(resolve(root, page, target), Ok(()), "{target}");
    }
    let broken = [
        ("no_such.md", "there is no such file"),
        ("src/lib.rs", "there is no such file"),
        ("", "it has no target"),
        ("semantics.md#no-such", "there is no such heading"),
        ("semantics.md#Settings", "there is no such heading"),
        ("#settings", "there is no such heading"),
        ("crate::manual::semantics#no-such", "there is no such heading"),
        ("crate::manual::no_such", "there is no such file"),
        ("../lib.rs#L1", "only Markdown has headings"),
    ];
    for (target, why) in broken {
        assert_eq!(resolve(root, page, target), Err(why.to_owned()), "{target}");
    }
}

#[test]
fn headings_become_anchors() {
    let text = "# Who's `there`?\n## Twice\n```sh\n# no heading\n```\n### Twice\n#no heading\n## [1.0] - a_b\n";
    assert_eq!(anchors(text), ["whos-there", "twice", "twice-1", "10---a_b"]);
}
