//! Documents, man page and program agree on the short help, on the compiler that is needed and on
//! every event of the JSON lines with all its keys. The pages keep to their form.

use std::collections::BTreeSet;

use crate::support::prelude::*;

/// The pages that are wrapped by hand.
const PAGES: &str = "README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs/comparison.md \
    docs/fleet.md docs/from-pkill.md docs/kernels.md docs/recipes.md docs/reference.md \
    docs/safety.md docs/tried.md";

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced block after an HTML comment.
fn block<'a>(text: &'a str, marker: &str) -> &'a str {
    let marker = format!("<!-- {marker} -->\n");
    let (_, rest) = text.split_once(&marker).expect("the marker");
    let (_, fenced) = rest.split_once("```").expect("a fenced block");
    let (_, lines) = fenced.split_once('\n').expect("the fence ends its line");
    lines.split_once("```").expect("the block ends").0
}

fn events(source: &str) -> BTreeSet<&str> {
    let starts = ["event(\"", "Object::new(\""];
    let named = starts.map(|start| source.split(start).skip(1));
    let named = named.into_iter().flatten();
    named.filter_map(|rest| rest.split('"').next()).collect()
}

/// Every key: a word in quotation marks, all lower case, that is the first of a pair or before a
/// colon.
fn keys(source: &str) -> BTreeSet<&str> {
    let pieces: Vec<_> = source.split('"').collect();
    let quoted = pieces.windows(2).skip(1).step_by(2);
    let is_key = |pair: &&[&str]| {
        let is_letter = |c: char| c.is_ascii_lowercase() || "_-".contains(c);
        let is_word = !pair[0].is_empty() && pair[0].chars().all(is_letter);
        is_word && (pair[1].starts_with(", ") || pair[1].starts_with(':'))
    };
    quoted.filter(is_key).map(|pair| pair[0]).collect()
}

#[test]
fn the_options_in_the_reference_are_the_short_help() {
    let help = run!("-h").told();
    assert_eq!(block(&file("docs/reference.md"), "sigsend -h"), help);
}

#[test]
fn the_readme_is_short_and_names_a_compiler_that_is_new_enough() {
    let readme = file("README.md");
    assert!(readme.lines().count() <= 200, "README.md is too long");
    let (_, rest) = readme.split_once("(https://rustup.rs) 1.").expect("Rust");
    let named = rest.split(' ').next().expect("its version");
    let needed = env!("CARGO_PKG_RUST_VERSION").strip_prefix("1.");
    let minor = |version: &str| version.parse::<u32>().expect("a number");
    let needed = needed.expect("Rust 1");
    assert!(minor(named) >= minor(needed), "{named} is too old");
}

#[test]
fn pages_keep_to_100_columns() {
    for page in PAGES.split_whitespace() {
        let (mut is_code, text) = (false, file(page));
        for (line, number) in text.lines().zip(1..) {
            is_code ^= line.starts_with("```");
            let is_free = is_code || line.starts_with(['|', '!']) || line.starts_with("<!--");
            let is_link = line.split_whitespace().count() == 1;
            let is_short = line.chars().count() <= 100;
            assert!(is_free || is_link || is_short, "{page}:{number}: {line}");
        }
    }
}

#[test]
fn reference_and_man_page_know_every_event_and_key() {
    let files = ["describe", "json", "preview"];
    let json = files.map(|name| file(&format!("src/output/{name}.rs")));
    let json = json.concat();
    let (events, keys) = (events(&json), keys(&json));
    let (event, key) = (events.contains("still-there"), keys.contains("elapsed_ms"));
    assert!(event && key, "not found in the source: {events:?} {keys:?}");
    let page = run!("--generate man").told();
    let page = page.replace("\\%", "").replace("\\-", "-");
    let reference = file("docs/reference.md");
    let is_letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let words: BTreeSet<&str> = page.split(|c| !is_letter(c)).collect();
    for event in &events {
        contains!(page, "\n{event}\t");
    }
    for key in &keys {
        assert!(words.contains(key), "the man page has no key {key}");
    }
    for word in events.iter().chain(&keys) {
        contains!(reference, "`{word}`");
    }
}
