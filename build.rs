//! Has the linker put the express way (src/os/express.rs) before the start of the C library.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(express)");
    let is = |variable: &str, values: &[&str]| {
        env::var(variable).is_ok_and(|value| values.contains(&value.as_str()))
    };
    let has =
        |variable: &str, word: &str| env::var(variable).is_ok_and(|value| value.contains(word));
    // A program that has to relocate itself has not done so yet then.
    if is("CARGO_CFG_TARGET_OS", &["linux"])
        && is("CARGO_CFG_TARGET_ENV", &["gnu", "musl"])
        && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
        && has("CARGO_CFG_TARGET_FEATURE", "crt-static")
        && has("CARGO_ENCODED_RUSTFLAGS", "relocation-model=static")
    {
        println!("cargo:rustc-cfg=express");
        println!("cargo:rustc-link-arg-bins=-Wl,--wrap=__libc_start_main");
        // Two segments instead of four: each of them takes execve(2) time.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,noseparate-code");
    }
}
