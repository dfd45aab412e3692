//! Text from other processes, made safe to print: it neither controls the terminal nor hides
//! anything.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// Shows bytes as text that is safe on a terminal, reversibly: a backslash is doubled, a control
/// character or a byte that is not UTF-8 becomes `\xHH`, and a character without glyph or width
/// becomes `\u{HHHH}`.
pub fn escape(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                ' '..='~' => text.push(c),
                c if c.is_ascii() => hex(&mut text, u32::from(c)),
                c if is_invisible(c) => text.extend(c.escape_unicode()),
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

/// Whether a character has no glyph or takes no column, so that two different names could look the
/// same.
///
/// `escape_debug` escapes what is not printable by its general category: controls, formatting,
/// separators, private use and unassigned. The tables of unicode-width have the rest: marks that
/// combine with the character before, and the default ignorables, some of which are letters. Blank
/// glyphs are in neither.
fn is_invisible(c: char) -> bool {
    c.width().unwrap_or_default() == 0
        || c.escape_debug().nth(1) == Some('u')
        || BLANKS.contains(&c)
}

/// Hangul choseong filler, Braille pattern blank, Egyptian full and half blank, musical null
/// notehead.
const BLANKS: [char; 5] = [
    '\u{115f}',
    '\u{2800}',
    '\u{13441}',
    '\u{13442}',
    '\u{1d159}',
];

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

    #[test]
    fn what_has_no_glyph_or_no_width_is_told_by_its_number() {
        let table = [
            "\u{85}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{1680}\u{17b4}\u{180b}\u{180e}",
            "\u{2000}\u{200b}\u{200d}\u{202f}\u{2028}\u{2029}\u{205f}\u{2060}\u{2064}\u{2065}\u{206a}\u{2800}",
            "\u{3000}\u{3164}\u{e000}\u{fe0f}\u{feff}\u{ffa0}\u{fff0}\u{fff9}\u{ffff}",
            "\u{13441}\u{1bca0}\u{1d159}\u{1d173}\u{e0001}\u{e007f}\u{e0100}\u{e0fff}\u{f0000}\u{10fffd}",
            // Marks that combine with the character before.
            "\u{300}\u{489}\u{5b0}\u{20dd}\u{1ab0}",
        ];
        for c in table.into_iter().flat_map(str::chars) {
            let shown = escape(c.to_string().as_bytes());
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(c)));
        }
        let visible = "aÄß€→日本ก한ｱ🙂½…ªʰ";
        assert_eq!(escape(visible.as_bytes()), visible);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that an escaped text shows.
    fn unescape(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else if let Some(after) = rest.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('x') {
                bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
                rest = &after[2..];
            } else {
                let (digits, after) = rest.strip_prefix("u{")?.split_once('}')?;
                let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
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
        fn no_control_no_change_of_direction_and_nothing_without_width_gets_through(bytes in hostile()) {
            let changes_direction = |c: char| {
                matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            let shown = escape(&bytes);
            prop_assert!(!shown.contains(|c: char| c.is_control() || changes_direction(c)), "{shown:?}");
            prop_assert!(shown.chars().all(|c| c.width().is_some_and(|width| width > 0)), "{shown:?}");
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
