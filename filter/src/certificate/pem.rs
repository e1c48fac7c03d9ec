//! PEM (RFC 7468): what stands between the lines that begin and end a certificate, in base64 (RFC 4648 §4).
//!
//! Envoy 1.40 gives plain PEM; some versions give it percent-encoded, as in its `x-forwarded-client-cert` header.

use std::borrow::Cow;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// The bytes of the first certificate. What follows it is the rest of a chain, if anything.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let text = percent_decoded(text)?;
    let text = text.trim_ascii_start().strip_prefix(BEGIN)?;
    let end = text.windows(END.len()).position(|window| window == END)?;
    base64(text.get(..end)?)
}

/// No character of PEM is a percent sign, so where there is one, it is an escape.
fn percent_decoded(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(Cow::Owned(decoded))
}

/// White space between the digits is passed over; padding is at the end, and as much as is needed.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut digits, mut padding) = (0_u32, 0_u8, 0_u8);
    for character in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if *character == b'=' {
            padding = padding.saturating_add(1);
        } else if padding > 0 {
            return None;
        } else {
            bits |= u32::from(digit(*character)?);
        }
        digits = digits.saturating_add(1);
        if digits == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            match padding {
                0 => bytes.extend([a, b, c]),
                1 => bytes.extend([a, b]),
                2 => bytes.push(a),
                _ => return None,
            }
            (bits, digits) = (0, 0);
        } else {
            bits <<= 6;
        }
    }
    (digits == 0).then_some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character.wrapping_sub(b'A'),
        b'a'..=b'z' => character.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => character.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
