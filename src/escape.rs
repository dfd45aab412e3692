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
