//! Text from other processes, and whatever else a terminal must not obey, made safe to print.

use std::fmt::Write;

/// Shows bytes as text that is safe on a terminal, reversibly: a backslash doubles, a control character or a byte that is not UTF-8
/// becomes `\xHH`, and a character that changes the direction of writing or cannot be seen becomes `\u{HHHH}`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_ascii_control() => hex(&mut text, u32::from(c)),
                c if is_hostile(c) => write!(text, "\\u{{{:x}}}", u32::from(c)).expect("a String takes everything"),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            hex(&mut text, u32::from(*byte));
        }
    }
    text
}

fn hex(text: &mut String, byte: u32) {
    write!(text, "\\x{byte:02x}").expect("a String takes everything");
}

/// C1 controls, line and paragraph separators, bidirectional controls, invisible formatting and tag characters.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let table: [(&[u8], &str); 9] = [
            (b"nginx", "nginx"),
            ("größe 日本".as_bytes(), "größe 日本"),
            (b"a\nb\tc", "a\\x0ab\\x09c"),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"back\\slash", "back\\\\slash"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"a\xc3", "a\\xc3"),
            ("\u{202e}txt\u{9b}1m".as_bytes(), "\\u{202e}txt\\u{9b}1m"),
            (b"\x7f\0", "\\x7f\\x00"),
        ];
        for (bytes, shown) in table {
            assert_eq!(escape(bytes), shown);
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Takes an escaped text back to the bytes that it shows.
    fn unescape(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else if let Some(behind) = rest.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('x') {
                bytes.push(u8::from_str_radix(behind.get(..2)?, 16).ok()?);
                rest = &behind[2..];
            } else {
                let (digits, behind) = rest.strip_prefix("u{")?.split_once('}')?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind;
            }
        }
        Some(bytes)
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            "[\\\\xu{}0-9a-f]{1,6}".prop_map(String::into_bytes),
            prop::char::range('\u{80}', '\u{9f}').prop_map(|c| c.to_string().into_bytes()),
            prop::char::range('\u{2000}', '\u{2070}').prop_map(|c| c.to_string().into_bytes()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_control_and_no_change_of_direction_gets_through(bytes in hostile()) {
            let changes_direction = |c: char| {
                matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            let shown = escape(&bytes);
            prop_assert!(!shown.contains(|c: char| c.is_control() || changes_direction(c)), "{shown:?}");
        }

        #[test]
        fn what_is_shown_tells_the_bytes(bytes in hostile()) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[a-zA-Z0-9 ():/äß日-]{0,20}") {
            prop_assert_eq!(escape(text.as_bytes()), text);
        }
    }
}
