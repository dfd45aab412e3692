//! Documents and program agree on the short help and on the compiler that is needed. The pages keep
//! to their form.

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
