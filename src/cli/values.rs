//! Values of options and operands: from text to a value or an error. What does not parse never has
//! a default.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};

use crate::cli::duration::follow_up_time;
use crate::cli::hints;
use crate::digits::is_number;
use crate::output::text::invalid_signal;
use crate::plan::{FollowUp, Product};
use crate::signal::Signal;
use crate::target::{Pid, Target};
use crate::usage::{Lookup, UsageError};

/// After an error about a value without a character.
const UNSET: &str = "the word was empty; is a variable unset?";

pub fn signal(text: &OsStr) -> Result<Signal, UsageError> {
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| invalid_signal(text).better_hint(hints::signal(text)))
}

pub fn invalid_target(token: &OsStr) -> UsageError {
    let error = UsageError::invalid(token, "target").better_hint(hints::target(token));
    match token.to_str().and_then(|token| token.strip_prefix(':')) {
        Some(service) => error.lookup(Lookup::Service(service.to_owned())),
        None => error,
    }
}

/// A PID where no other target makes sense.
pub fn process_id(token: &OsStr) -> Result<Pid, UsageError> {
    let invalid = || UsageError::invalid(token, "process ID");
    match Target::try_from(token).map_err(|_| invalid_target(token))? {
        Target::Process(pid) | Target::Padded(pid, _) => Ok(pid),
        Target::Nobody => Err(invalid().hint(UNSET)),
        _ => Err(invalid()),
    }
}

/// A name to compare with. One that no process can have is a usage error, which must not read as a
/// process that is gone.
pub fn expected_name(name: &OsStr) -> Result<OsString, UsageError> {
    if name.as_encoded_bytes().contains(&b'/') {
        let error = UsageError::invalid(name, "name to expect");
        return Err(error.hint("it is compared with command names and the last part of paths"));
    }
    not_empty(name, "name to expect")
}

/// A directory in which processes work. Everything works below the root.
pub fn directory(path: &OsStr) -> Result<OsString, UsageError> {
    let mut components = Path::new(path).components();
    let is_rooted = components.next() == Some(Component::RootDir);
    if is_rooted && components.all(|component| component == Component::ParentDir) {
        let error = UsageError::invalid(path, "directory");
        return Err(error.hint("every process works in it or below"));
    }
    not_empty(path, "directory")
}

/// A login name or the number of a user, who is looked up later.
pub fn user(user: &OsStr) -> Result<OsString, UsageError> {
    let is_login = |text: &str| {
        // The last number stands for "no user" (chown(2)).
        let is_id = text.parse().is_ok_and(|id: u32| id != u32::MAX);
        let is_strange = |c: char| c.is_control() || c.is_whitespace() || c == ':';
        !text.starts_with(['-', '+']) && !text.contains(is_strange) && (is_id || !is_number(text))
    };
    if !user.is_empty() && !user.to_str().is_none_or(is_login) {
        return Err(UsageError::invalid(user, "user"));
    }
    not_empty(user, "user")
}

/// A word that is used as it is.
pub fn not_empty(word: &OsStr, wanted: &str) -> Result<OsString, UsageError> {
    if word.is_empty() {
        return Err(UsageError::invalid(word, wanted).hint(UNSET));
    }
    Ok(word.to_owned())
}

pub fn queued_value(text: &OsStr) -> Result<i32, UsageError> {
    let value = text.to_str().and_then(|text| text.parse().ok());
    value.ok_or_else(|| {
        UsageError::invalid(text, "value to queue")
            .hint("the value is a whole number from -2147483648 to 2147483647")
    })
}

pub fn product(what: &OsStr) -> Result<Product, UsageError> {
    let mut products = Product::NAMES.into_iter();
    if let Some((_, product)) = products.find(|(name, _)| what == *name) {
        return Ok(product);
    }
    let names = Product::NAMES.map(|(name, _)| name).join(", ");
    Err(UsageError::invalid(what, "operand of --generate").hint(format!("one of {names}")))
}

/// The values of `--timeout`.
pub fn follow_up(after: &OsStr, text: &OsStr) -> Result<FollowUp, UsageError> {
    let hint = || hints::timeout(after);
    let dashed = || hints::dashed_follow_up(after, text);
    Ok(FollowUp {
        after: follow_up_time(after).map_err(|error| error.better_hint(hint()))?,
        signal: signal(text).map_err(|error| error.better_hint(dashed()))?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_directory_is_any_but_the_root() {
        for path in ["", "/", "//", "/.", "/..", "/./../"] {
            assert!(directory(OsStr::new(path)).is_err(), "{path}");
        }
        for path in [".", "..", "/tmp", "/tmp/..", "tmp", "-"] {
            assert!(directory(OsStr::new(path)).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_user_is_a_login_name_or_a_number() {
        for text in "|-1|+0| root|root:root|a\nb|4294967295|4294967296".split('|') {
            assert!(user(OsStr::new(text)).is_err(), "{text}");
        }
        for text in "0|1000|4294967294|root|_apt|bob-2|größe|007".split('|') {
            assert!(user(OsStr::new(text)).is_ok(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_value_to_queue_is_itself_or_refused(number in prop_oneof![any::<i64>(), -0x1_0000_0000i64..0x1_0000_0000]) {
            let value = queued_value(OsStr::new(&number.to_string())).ok();
            prop_assert_eq!(value, i32::try_from(number).ok());
        }
    }
}
