//! Numbers as signals, PIDs and durations are written: in decimal digits, without a sign.

use std::str::FromStr;

/// The value of one or more digits, unless its type cannot hold it.
pub fn number<T: FromStr>(digits: &str) -> Option<T> {
    // `parse` would take a sign in front, and nothing else but digits.
    let is_unsigned = digits.starts_with(|first: char| first.is_ascii_digit());
    digits.parse().ok().filter(|_| is_unsigned)
}

pub fn is_number(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
