//! How a text that somebody else chose is shown.

use std::fmt::Write as _;

/// As it is where that can be read only one way; else in quotes and escaped as in Rust: an empty text, one with blanks, quotes or
/// backslashes, and one with what would forge a line, move a terminal's cursor or not be seen. A byte that is no text is
/// shown as `\xff`.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        _ => quoted(bytes),
    }
}

fn is_plain(c: char) -> bool {
    c == '\'' || (!c.is_whitespace() && c.escape_debug().len() == 1)
}

fn quoted(bytes: &[u8]) -> String {
    let mut shown = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' => shown.push(c),
                c => shown.extend(c.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            // A String takes everything.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        for (bytes, want) in [
            (&b"/v1/it's,x"[..], "/v1/it's,x"),
            ("/caf\u{e9}".as_bytes(), "/caf\u{e9}"),
            (b"", r#""""#),
            (b"admin ", r#""admin ""#),
            (b"a or b", r#""a or b""#),
            (b"a\"b\\", r#""a\"b\\""#),
            (b"/x\x1b[31mRED\nALLOW\0", r#""/x\u{1b}[31mRED\nALLOW\0""#),
            ("a\u{202e}\u{85}".as_bytes(), r#""a\u{202e}\u{85}""#),
            (b"/\xff/a", r#""/\xff/a""#),
        ] {
            assert_eq!(shown(bytes), want);
        }
    }
}
