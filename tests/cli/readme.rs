//! Documents, man page and program agree on the short help, on the compiler that is needed and on
//! every event of the JSON lines with all its keys. The pages keep to their form.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::{sigsend, stdout};

/// The pages that are wrapped by hand.
const PAGES: &str = "README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs/comparison.md \
    docs/fleet.md docs/from-pkill.md docs/kernels.md docs/recipes.md docs/reference.md \
    docs/safety.md docs/tried.md";

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced block after an HTML comment.
fn block(text: &str, marker: &str) -> String {
    let rest = text
        .split_once(&format!("<!-- {marker} -->\n"))
        .unwrap_or_else(|| panic!("no marker {marker}"))
        .1;
    let fenced = rest
        .trim_start()
        .strip_prefix("```")
        .expect("a fenced block follows the marker");
    let lines = fenced.split_once('\n').expect("the fence ends its line").1;
    lines
        .split_once("```")
        .expect("the block ends")
        .0
        .to_owned()
}

/// The words between quotation marks in a source file that are all lower case, each with what
/// follows it.
fn words(source: &str) -> impl Iterator<Item = (&str, &str)> {
    let pieces: Vec<_> = source.split('"').collect();
    let pairs: Vec<_> = pieces
        .windows(2)
        .skip(1)
        .step_by(2)
        .map(|pair| (pair[0], pair[1]))
        .collect();
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c == '-')
    };
    pairs.into_iter().filter(move |(word, _)| is_word(word))
}

/// Every event name of the JSON lines.
fn events(source: &str) -> BTreeSet<&str> {
    let starts = ["event(\"", "Object::new(\""];
    let named = starts.map(|start| source.split(start).skip(1));
    let named = named.into_iter().flatten();
    named.filter_map(|rest| rest.split('"').next()).collect()
}

/// Every key: the first of a pair, or a word before a colon.
fn keys(source: &str) -> BTreeSet<&str> {
    let is_key = |next: &str| next.starts_with(", ") || next.starts_with(':');
    words(source)
        .filter(|(_, next)| is_key(next))
        .map(|(word, _)| word)
        .collect()
}

#[test]
fn the_options_in_the_reference_are_the_short_help() {
    let help = stdout(&sigsend().arg("-h").assert().success());
    assert_eq!(block(&file("docs/reference.md"), "sigsend -h"), help);
}

#[test]
fn the_readme_is_short_and_names_a_compiler_that_is_new_enough() {
    let readme = file("README.md");
    assert!(readme.lines().count() <= 200, "README.md is too long");
    let (_, rest) = readme.split_once("(https://rustup.rs) 1.").expect("Rust");
    let named = rest.split(' ').next().expect("its version");
    let (_, needed) = env!("CARGO_PKG_RUST_VERSION")
        .split_once("1.")
        .expect("Rust");
    let minor = |version: &str| version.parse::<u32>().expect("a number");
    assert!(minor(named) >= minor(needed), "{named} is not {needed}");
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
    let json = file("src/output/json.rs");
    let (events, keys) = (events(&json), keys(&json));
    for (word, set) in [
        ("sent", &events),
        ("still-there", &events),
        ("elapsed_ms", &keys),
        ("pid", &keys),
    ] {
        assert!(
            set.contains(word),
            "{word} was not found in the source: {set:?}"
        );
    }
    let page = stdout(&sigsend().args(["--generate", "man"]).assert().success())
        .replace("\\%", "")
        .replace("\\-", "-");
    let reference = file("docs/reference.md");
    for event in &events {
        assert!(
            page.contains(&format!("\n{event}\t")),
            "the man page has no event {event}"
        );
        assert!(
            reference.contains(&format!("`{event}`")),
            "docs/reference.md has no event {event}"
        );
    }
    for key in &keys {
        let is_word = |text: &str| {
            text.split(|c: char| !c.is_ascii_lowercase() && c != '_')
                .any(|word| word == *key)
        };
        assert!(page.lines().any(is_word), "the man page has no key {key}");
        assert!(
            reference.contains(&format!("`{key}`")),
            "docs/reference.md has no key {key}"
        );
    }
}
