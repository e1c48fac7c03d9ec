//! Ports, as numbers or as the strings that Istio's AuthorizationPolicy has.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortSpec(pub u16);

impl<'de> Deserialize<'de> for PortSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PortVisitor)
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = PortSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port from 1 to 65535, as a number or a string")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<PortSpec, E> {
        u16::try_from(value)
            .ok()
            .filter(|port| *port != 0)
            .map(PortSpec)
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<PortSpec, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    /// A protobuf Struct, in which Istio carries `pluginConfig`, has no integers: 8080 may arrive as 8080.0 or 8.08e3.
    fn visit_f64<E: Error>(self, value: f64) -> Result<PortSpec, E> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: a whole number in the range of u16"
        )]
        if value.fract() == 0.0 && (1.0..=65535.0).contains(&value) {
            Ok(PortSpec(value as u16))
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<PortSpec, E> {
        value
            .parse()
            .ok()
            .filter(|port| *port != 0 && value.bytes().all(|b| b.is_ascii_digit()))
            .map(PortSpec)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}
