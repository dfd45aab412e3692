//! The output of `-l` with operands.

use std::ffi::OsString;

use crate::fuzz::reading::value::{Invalid, NAMES, Read, digits, named_signal};

/// The lines and the status, if the arguments are `-l` and operands alone.
pub fn answers(args: &[OsString]) -> Option<(Vec<String>, i32)> {
    let mut args = args.iter().map(|arg| arg.to_str());
    if !matches!(args.next()??, "-l" | "--list") {
        return None;
    }
    let operands: Vec<&str> = args.collect::<Option<_>>()?;
    if operands.is_empty() || operands.iter().any(|operand| operand.starts_with('-')) {
        return None;
    }
    let (mut lines, mut status) = (Vec::new(), 0);
    for operand in operands {
        match answer(operand)? {
            Ok(answer) => lines.extend(answer),
            Err(Invalid) => status = 1,
        }
    }
    Some((lines, status))
}

/// The lines for one operand; `None` for a spelling that the manual does not define.
fn answer(operand: &str) -> Option<Read<Vec<String>>> {
    if let Some(mask) = operand.strip_prefix("0x") {
        let mask = u64::from_str_radix(mask, 16).ok()?;
        let numbers = (1..=64).filter(|n| mask >> (n - 1) & 1 == 1);
        return Some(Ok(numbers.filter_map(name).collect()));
    }
    if digits(operand) {
        let number = operand.parse::<u32>().ok().filter(|&n| n < 65_536)?;
        let number = match number {
            ..255 => number & 0x7f,
            385..=448 => number - 384,
            _ => number & 0xff,
        };
        return Some(name(number).map(|name| vec![name]).ok_or(Invalid));
    }
    match named_signal(operand) {
        Some((number, false)) => Some(Ok(vec![number.to_string()])),
        Some((_, true)) => None,
        None => Some(Err(Invalid)),
    }
}

fn name(number: u32) -> Option<String> {
    Some(match number {
        0 => "EXIT".to_owned(),
        1..=31 => NAMES
            .split(' ')
            .nth(usize::try_from(number).ok()? - 1)?
            .to_owned(),
        32 | 33 => number.to_string(),
        34 => "RTMIN".to_owned(),
        35..=49 => format!("RTMIN+{}", number - 34),
        50..=63 => format!("RTMAX-{}", 64 - number),
        64 => "RTMAX".to_owned(),
        _ => return None,
    })
}
