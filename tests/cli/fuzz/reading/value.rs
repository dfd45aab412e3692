//! Values as the manual spells them: signals, durations, numbers.

use crate::support::{tokens::UNSPECIFIED_DURATIONS, words};

/// The text is not valid.
#[derive(Debug)]
pub struct Invalid;

/// A value read from a text.
pub type Read<T> = Result<T, Invalid>;

/// An error unless the condition holds.
pub fn valid(condition: bool) -> Read<()> {
    condition.then_some(()).ok_or(Invalid)
}

/// Names by number, 1 first.
pub const NAMES: &str = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG \
                     XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

pub fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A number of any length, digits only. Saturates, which is above every valid value.
fn number(text: &str) -> Option<u128> {
    let add = |n: u128, digit| {
        n.saturating_mul(10)
            .saturating_add(u128::from(digit - b'0'))
    };
    digits(text).then(|| text.bytes().fold(0, add))
}

/// A signal's number, and whether the manual allows the spelling to be refused.
pub fn named_signal(text: &str) -> Option<(u8, bool)> {
    let text = text.to_ascii_uppercase();
    let bare = text.strip_prefix("SIG").unwrap_or(&text);
    let range = |n: &str| {
        let padded = n.len() > 1 && n.starts_with('0');
        let place = u8::try_from(number(n)?).ok();
        Some((place.filter(|&n| n <= 30)?, padded))
    };
    match bare {
        "EXIT" | "NULL" => return Some((0, bare != text)),
        "CLD" => return Some((17, false)),
        "IOT" => return Some((6, false)),
        "POLL" => return Some((29, false)),
        "RTMIN" => return Some((34, false)),
        "RTMAX" => return Some((64, false)),
        _ => {}
    }
    if let Some(place) = NAMES.split(' ').position(|name| name == bare) {
        return Some((u8::try_from(place).ok()? + 1, false));
    }
    if let Some((n, loose)) = bare.strip_prefix("RTMAX-").and_then(range) {
        return Some((64 - n, loose));
    }
    let place = bare.strip_prefix("RTMIN+");
    let place = place.or_else(|| bare.strip_prefix("RT"));
    let (n, loose) = place.and_then(range)?;
    Some((34 + n, loose))
}

pub fn signal(text: &[u8]) -> Read<(u8, bool)> {
    let text = str::from_utf8(text).map_err(|_| Invalid)?;
    if let Some(n) = number(text) {
        let signal = u8::try_from(n).ok().filter(|&n| n <= 64);
        return signal.map(|n| (n, false)).ok_or(Invalid);
    }
    named_signal(text).ok_or(Invalid)
}

/// Milliseconds, rounded up, and whether the manual allows the spelling to be refused.
pub fn duration(text: &[u8], bare_is_fine: bool) -> Read<(u64, bool)> {
    let text = str::from_utf8(text).map_err(|_| Invalid)?;
    let whole = |n: Option<u128>| {
        let time = n.and_then(|n| u64::try_from(n).ok());
        time.map(|n| (n, false)).ok_or(Invalid)
    };
    if digits(text) {
        return whole(number(text).filter(|_| bare_is_fine));
    }
    if words(UNSPECIFIED_DURATIONS).iter().any(|odd| odd == text) {
        return Ok((5, true));
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(Invalid)?;
    let (n, unit) = text.split_at(split);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        _ => return Err(Invalid),
    };
    whole(number(n).map(|n| n.saturating_mul(scale)))
}

pub fn positive(text: &str, most: u128) -> Read<u128> {
    let number = number(text).filter(|n| (1..=most).contains(n));
    number.ok_or(Invalid)
}

/// The greatest PID there can be.
pub const PID_MAX: u128 = 2_147_483_647;
