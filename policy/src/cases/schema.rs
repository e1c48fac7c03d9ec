//! The JSON Schema of a file of cases.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::{LEFT_TO_HTTP, Suite};
use crate::source::SourceClass;
use crate::spec::schema::of;

/// The JSON Schema (draft 2020-12) of a file of cases.
#[must_use]
pub fn json_schema() -> Value {
    of::<Suites>()
}

/// A file of cases.
struct Suites;

impl JsonSchema for Suites {
    fn schema_name() -> Cow<'static, str> {
        "Suites".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Requests, and what crossmesh's policies must decide about them: a list of suites.",
            "type": "array",
            "items": generator.subschema_for::<Suite>(),
            "minItems": 1,
        })
    }
}

/// `ALLOW rule:NAME`, `DENY default:CLASS`.
pub(super) struct DecisionText;

impl JsonSchema for DecisionText {
    fn schema_name() -> Cow<'static, str> {
        "Decision".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "ALLOW or DENY, then rule:NAME or default:CLASS.",
            "pattern": decision(),
        })
    }
}

/// The same, or left to HTTP.
pub(super) struct FirstBytes;

impl JsonSchema for FirstBytes {
    fn schema_name() -> Cow<'static, str> {
        "FirstBytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "ALLOW or DENY, then rule:NAME or default:CLASS; or left to HTTP.",
            "anyOf": [{"const": LEFT_TO_HTTP}, {"pattern": decision()}],
        })
    }
}

/// An address of a peer.
pub(super) struct Address;

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An IPv4 or IPv6 address, without port.",
            "pattern": "^[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*$",
        })
    }
}

/// A source whose identity is invalid is always denied.
fn decision() -> String {
    let mut classes = SourceClass::ALL.map(SourceClass::as_str).to_vec();
    classes.retain(|class| *class != SourceClass::InvalidIdentity.as_str());
    format!(
        "^((ALLOW|DENY) (rule:[a-z0-9-]{{1,63}}|default:({}))|DENY default:{})$",
        classes.join("|"),
        SourceClass::InvalidIdentity
    )
}
