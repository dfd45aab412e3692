//! sigsend sends signals to processes. `main` turns the arguments into one action and its result
//! into an exit status.

// C's main: what Rust's runtime does before its own takes longer than a signal.
#![cfg_attr(not(test), no_main)]

mod act;
mod cli;
mod digits;
mod docs;
mod escape;
mod event;
mod find;
mod os;
mod output;
mod plan;
mod quick;
mod run;
mod signal;
mod signal_set;
mod target;
mod usage;

use std::ffi::{OsStr, c_int};
use std::path::Path;

use act::{act, refuse, unwritten};
use cli::parse::parse;
use escape::escape;
use os::sys::{self, Arguments};

/// musl's own allocator takes up to twice the time in calls that allocate much.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[cfg_attr(
    not(test),
    unsafe(no_mangle),
    expect(unsafe_code, reason = "the C library calls a function of this name")
)]
extern "C" fn main(_count: c_int, mut arguments: Arguments) -> c_int {
    sys::prepare();
    let program = arguments.next().unwrap_or_default();
    let status = match quick::carry_out(arguments.clone()) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => unwritten(&error, &called(program)),
        Err(begun) => {
            let arguments: Vec<_> = arguments.collect();
            match parse(&arguments) {
                Ok(action) => act(action, begun, &called(program)),
                Err(refusal) => refuse(refusal, &called(program)),
            }
        }
    };
    status.code().into()
}

/// The name that messages begin with, from argv[0].
fn called(program: &OsStr) -> String {
    let name = Path::new(program).file_name();
    escape(name.unwrap_or(OsStr::new("sigsend")).as_encoded_bytes())
}
