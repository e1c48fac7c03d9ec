//! What an unquoted text becomes on its way through kubectl.
//!
//! kubectl converts YAML to JSON by `sigs.k8s.io/yaml`, which reads YAML 1.1 as `go.yaml.in/yaml/v2` does (its
//! `resolve.go`): more words are booleans, and more spellings numbers, than in YAML 1.2.

/// What JSON gets for an unquoted text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    /// `null`.
    Null,
    /// `true` or `false`, in these words.
    Bool(bool),
    /// A whole number.
    ///
    /// In the range of `i64` or `u64`.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// The text itself.
    Text,
    /// A text that YAML 1.1 reads as a boolean, though YAML 1.2 and most authors do not.
    Word(bool),
    /// A number in a spelling of which its value cannot be seen at once (`0777`), or that JSON has not (`.inf`).
    OddNumber,
}

/// Whether YAML has nothing here.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Reads an unquoted text.
pub(super) fn read(text: &str) -> Plain {
    match text {
        text if is_null(text) => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Bool(true),
        "false" | "False" | "FALSE" => Plain::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Plain::Word(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Plain::Word(false),
        ".nan" | ".NaN" | ".NAN" => Plain::OddNumber,
        text => number(text),
    }
}

fn number(text: &str) -> Plain {
    if is_json_number(text) {
        // Go tries int64 and uint64, then float64.
        let integer = text
            .parse::<i64>()
            .map(i128::from)
            .or_else(|_| text.parse::<u64>().map(i128::from));
        return match integer {
            Ok(integer) => Plain::Integer(integer),
            Err(_) => text
                .parse()
                .map(whole)
                .unwrap_or(Plain::Float(f64::INFINITY)),
        };
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let odd = match unsigned.as_bytes() {
        b".inf" | b".Inf" | b".INF" => true,
        [b'0'..=b'9' | b'.', ..] => is_odd_number(&unsigned.replace('_', "")),
        _ => false,
    };
    if odd { Plain::OddNumber } else { Plain::Text }
}

/// Go writes a float without a fraction as JSON would write an integer: `8080.0` arrives as `8080`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "below 2^63 a float without a fraction is an integer"
)]
fn whole(value: f64) -> Plain {
    if value.fract() == 0.0 && value.abs() < 9.0e18 {
        Plain::Integer(value as i128)
    } else {
        Plain::Float(value)
    }
}

/// RFC 8259 §6: here all readers agree.
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = split_exponent(text);
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    is_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_exponent)
}

/// What Go reads as a number besides: other bases, leading zeros, a bare point.
fn is_odd_number(text: &str) -> bool {
    let base = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => Some(16),
        [b'0', b'o' | b'O', ..] => Some(8),
        [b'0', b'b' | b'B', ..] => Some(2),
        _ => None,
    };
    if let Some(base) = base {
        let digits = text.get(2..).unwrap_or_default();
        return !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    }
    let (mantissa, exponent) = split_exponent(text);
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    (is_digits(integer) || integer.is_empty() && is_digits(fraction))
        && (fraction.is_empty() || is_digits(fraction))
        && exponent.is_none_or(is_exponent)
}

fn split_exponent(text: &str) -> (&str, Option<&str>) {
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    }
}

fn is_exponent(text: &str) -> bool {
    is_digits(text.strip_prefix(['+', '-']).unwrap_or(text))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Plain, read};

    #[track_caller]
    fn check(texts: &[&str], want: Plain) {
        for text in texts {
            assert_eq!(read(text), want, "{text:?}");
        }
    }

    #[test]
    fn words_are_read_as_yaml_1_1_has_them_and_no_others() {
        check(
            &["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"],
            Plain::Word(true),
        );
        check(
            &["n", "N", "no", "No", "NO", "off", "Off", "OFF"],
            Plain::Word(false),
        );
        check(&["true", "True", "TRUE"], Plain::Bool(true));
        check(&["", "~", "null", "Null", "NULL"], Plain::Null);
        check(
            &["yEs", "oN", "nope", "tRUE", "nULL", "GET", "*", "<<"],
            Plain::Text,
        );
    }

    #[test]
    fn numbers_that_all_readers_agree_on_are_numbers() {
        check(&["8080", "8080.0", "8.08e3"], Plain::Integer(8080));
        check(&["0", "-0"], Plain::Integer(0));
        check(&["-1"], Plain::Integer(-1));
        check(&["9007199254740993"], Plain::Integer(9_007_199_254_740_993));
        check(&["18446744073709551615"], Plain::Integer(u64::MAX.into()));
        check(
            &["18446744073709551616"],
            Plain::Float(18_446_744_073_709_551_616.0),
        );
        check(&["1.10"], Plain::Float(1.1));
    }

    #[test]
    fn numbers_that_do_not_look_like_their_value_are_told_apart() {
        check(
            &[
                "0777", "00", "08", "0o17", "0x1F", "0b11", "1_000", "+5", ".5", "5.", "-.5",
                ".inf", "-.Inf", ".nan", "0_1", ".5_0",
            ],
            Plain::OddNumber,
        );
    }

    #[test]
    fn what_only_resembles_a_number_is_text() {
        check(
            &[
                "10.0.0.1",
                "10.0.0.0/8",
                "1:30",
                "2026-01-01",
                "1e",
                "e5",
                "0x",
                "0xg",
                "-",
                "+",
                ".",
                "1.2.3",
                "v1",
                "_1",
                "a_1",
                "09a",
            ],
            Plain::Text,
        );
    }
}
