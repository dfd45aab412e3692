//! Elsewhere than on Linux: one clear error instead of one for each item that only Linux has.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        println!("cargo::error=sigsend is for Linux: it needs pidfds, /proc and Linux's signals");
    }
}
