//! Whole numbers in a range: ports, also as the strings that Istio's AuthorizationPolicy has, and limits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortSpec(pub u16);

impl<'de> Deserialize<'de> for PortSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let port = Range {
            most: u16::MAX,
            what: "a port",
            or_string: true,
        };
        from.deserialize_any(port).map(Self)
    }
}

/// How many there may be, 1 to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSpec<const MOST: u16>(pub u16);

impl<'de, const MOST: u16> Deserialize<'de> for LimitSpec<MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let limit = Range {
            most: MOST,
            what: "a number",
            or_string: false,
        };
        from.deserialize_any(limit).map(Self)
    }
}

/// A number from 1 to `most`.
struct Range {
    most: u16,
    what: &'static str,
    or_string: bool,
}

impl Visitor<'_> for Range {
    type Value = u16;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from 1 to {}", self.what, self.most)?;
        if self.or_string {
            f.write_str(", as a number or a string")?;
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u16, E> {
        u16::try_from(value)
            .ok()
            .filter(|number| (1..=self.most).contains(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u16, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    /// A protobuf Struct, in which Istio carries `pluginConfig`, has no integers: 8080 may arrive as 8080.0 or 8.08e3.
    fn visit_f64<E: Error>(self, value: f64) -> Result<u16, E> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: a whole number in the range of u16"
        )]
        if value.fract() == 0.0 && (1.0..=f64::from(self.most)).contains(&value) {
            Ok(value as u16)
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u16, E> {
        let digits = self.or_string && value.bytes().all(|b| b.is_ascii_digit());
        value
            .parse()
            .ok()
            .filter(|number| digits && (1..=self.most).contains(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}
