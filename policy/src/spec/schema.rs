//! The JSON Schema of `pluginConfig`, from which an editor completes.
//!
//! It is derived from the types that the filter reads, and narrowed here to what is accepted: whatever the parser and
//! the compiler accept, it accepts; of what they refuse it refuses most. What it cannot say (that a mesh is listed,
//! that a name is unique), `crossmesh policy check` does.
//!
//! Patterns are ECMA-262 regular expressions without features that a linear engine lacks.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{LimitSpec, PortSpec, Spec};
use crate::source::SourceClass;

/// The JSON Schema (draft 2020-12) of a `pluginConfig`.
#[must_use]
pub fn json_schema() -> Value {
    of::<Spec>()
}

/// The JSON Schema of a document of this type.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let readable = RecursiveTransform(|schema: &mut Schema| {
        // What is absent is not null: null is refused.
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
        // Where a comment is broken into lines is no matter to its reader.
        if let Some(Value::String(description)) = schema.get_mut("description") {
            *description = description.replace('\n', " ");
        }
    });
    SchemaSettings::draft2020_12()
        .with_transform(readable)
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// A list that has at least one item.
pub(super) struct NotEmpty<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for NotEmpty<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("NotEmpty{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "minItems": 1})
    }
}

impl JsonSchema for PortSpec {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let digits = "^0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";
        json_schema!({
            "description": "A TCP port, 1 to 65535, as a number or a string.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": digits},
            ],
        })
    }
}

impl<const MOST: u16> JsonSchema for LimitSpec<MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("Limit{MOST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MOST})
    }
}

/// Types that stand for the strings of the language: each by its description and the schema that it adds to `string`.
macro_rules! strings {
    ($($name:ident: $description:literal, $narrowed:expr;)*) => {$(
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!({"type": "string", "description": $description});
                let narrowed: Value = $narrowed;
                for (keyword, value) in narrowed.as_object().into_iter().flatten() {
                    schema.insert(keyword.clone(), value.clone());
                }
                // What editors of VS Code's kind say in place of the pattern.
                schema.insert("patternErrorMessage".into(), json!(concat!("Expected: ", $description)));
                schema
            }
        }
    )*};
}

/// What a segment of a SPIFFE ID's path is made of.
const SEGMENT: &str = "[A-Za-z0-9._-]";
/// What Envoy's `uri_template` takes in the text of a template.
const IN_TEMPLATE: &str = "[a-zA-Z0-9._~%!$&'()+,;:@-]";
const SPIFFE_PATH: &str = "[A-Za-z0-9._/-]";
const TRUST_DOMAIN: &str = "[a-z0-9._-]";
/// All of an HTTP token (RFC 9110 §5.6.2) but `*` and lower case.
const METHOD: &str = "[A-Z0-9!#$%&'+.^_`|~-]";
const HOST: &str = "[^*/?#@: \\t\\r\\n]";
const IN_BRACKETS: &str = "[^*/?#@\\[\\] \\t\\r\\n]";

strings! {
    RuleName: "1 to 63 of a-z, 0-9 and '-'.", json!({"pattern": "^[a-z0-9-]{1,63}$"});
    MeshId: "A mesh ID: 1 to 63 of a-z, A-Z, 0-9, '.', '-' and '_'.", json!({
        "pattern": format!("^{SEGMENT}{{1,63}}$"),
        "not": {"enum": SourceClass::ALL.map(SourceClass::as_str)},
    });
    MeshPattern: "A mesh ID, prefix*, *suffix or *.", pattern(SEGMENT);
    TrustDomain: "A trust domain, such as cluster.local: what stands between spiffe:// and the next slash.", json!({
        "pattern": format!("^{TRUST_DOMAIN}{{1,255}}$"),
    });
    TrustDomainPattern: "A trust domain, prefix*, *suffix or *.", pattern(TRUST_DOMAIN);
    Namespace: "A namespace, prefix*, *suffix or *.", pattern(SEGMENT);
    Namespaced: "namespace/name; each may be exact, prefix*, *suffix or *.", json!({
        "pattern": format!("^{0}/{0}$", star(SEGMENT)),
    });
    Principal: "trust.domain/path, such as bar.com/ns/batch/sa/*; '*' only behind the trust domain.", json!({
        "pattern": format!("^(spiffe://)?{TRUST_DOMAIN}{{1,255}}/{}$", star(SPIFFE_PATH)),
    });
    ExactPrincipal: "trust.domain/path, such as bar.com/ns/istio-ingress/sa/gateway; no '*'.", json!({
        "pattern": format!("^(spiffe://)?{TRUST_DOMAIN}{{1,255}}/{SPIFFE_PATH}+$"),
    });
    IpBlock: "An IPv4 or IPv6 address, or address/prefix length.", json!({
        "pattern": "^[0-9A-Fa-f:.]+(/(0|[1-9][0-9]*))?$",
    });
    Host: "A host, prefix*, *suffix or *; no port.", json!({
        "pattern": format!("^({0}|\\[{IN_BRACKETS}*\\]|\\[{IN_BRACKETS}*\\]?\\*|\\*\\[?{IN_BRACKETS}*\\])\\.?$", star(HOST)),
        "not": {"pattern": "\\.\\.$"},
    });
    Method: "A method such as GET, prefix*, *suffix or *.", pattern(METHOD);
    Path: "/exact, /prefix*, *suffix, *, or a template such as /items/{*} or /files/{**}; no query.", json!({
        "minLength": 1,
        "pattern": format!(
            "^(\\*[^*?#{{}}]*|/[^*?#{{}}]*\\*?|(/(\\{{\\*\\}}|{IN_TEMPLATE}+))*(/\\{{\\*\\*\\}}(/{IN_TEMPLATE}+)*)?/?)$"
        ),
    });
    LabelValue: "A value, prefix*, *suffix or *.", pattern("[^*]");
    HeaderName: "A header's name, such as x-tier.", json!({
        "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        "not": {"pattern": "^([Hh][Oo][Ss][Tt]$|[Xx]-[Cc][Rr][Oo][Ss][Ss][Mm][Ee][Ss][Hh]-)"},
    });
    HeaderValue: "A value, prefix*, *suffix or *; header lines are split at commas.", json!({
        "pattern": format!("^{}$", star("[^*,]")),
        "not": {"pattern": "^[ \\t]|[ \\t]$"},
    });
}

/// The schema of a pattern over these characters.
fn pattern(characters: &str) -> Value {
    json!({"pattern": format!("^{}$", star(characters))})
}

/// The regular expression for exact, `prefix*`, `*suffix` and `*`.
fn star(characters: &str) -> String {
    format!("({characters}+\\*?|\\*{characters}*)")
}

/// Label keys, each with a pattern.
pub(super) struct Labels;

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<LabelValue>(),
            "minProperties": 1,
        })
    }
}

/// A field that can only be `true`.
pub(super) struct OnlyTrue;

impl JsonSchema for OnlyTrue {
    fn schema_name() -> Cow<'static, str> {
        "OnlyTrue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "boolean", "const": true})
    }
}

/// An ALLOW is narrow: it says who, and does not rest on what the client claims.
pub(super) fn rule(schema: &mut Schema) {
    let any_of = |fields: &[&str]| -> Value {
        let each: Vec<Value> = fields
            .iter()
            .map(|field| json!({"required": [field]}))
            .collect();
        json!({"anyOf": each})
    };
    let narrow_to = json!({"items": {
        "if": any_of(&["hosts", "notHosts", "snis", "notSnis"]),
        "then": any_of(&["namespaces", "workloads", "labels"]),
    }});
    schema.insert(
        "if".into(),
        json!({"properties": {"action": {"const": "ALLOW"}}, "required": ["action"]}),
    );
    schema.insert(
        "then".into(),
        json!({"required": ["from"], "properties": {"to": narrow_to}}),
    );
}

/// An item says something, and a name only with its mesh.
pub(super) fn from(schema: &mut Schema) {
    let with_mesh = json!({"anyOf": [{"required": ["meshes"]}, {"required": ["trustDomains"]}]});
    let alone = |flag: &str| json!({"propertyNames": {"enum": [flag, "ipBlocks", "notIpBlocks"]}});
    schema.insert("minProperties".into(), json!(1));
    schema.insert(
        "dependentSchemas".into(),
        json!({
            "namespaces": with_mesh,
            "notNamespaces": with_mesh,
            "serviceAccounts": with_mesh,
            "notServiceAccounts": with_mesh,
            "plaintext": alone("plaintext"),
            "passthrough": alone("passthrough"),
        }),
    );
}

/// A condition asks something.
pub(super) fn when(schema: &mut Schema) {
    schema.insert(
        "anyOf".into(),
        json!([{"required": ["values"]}, {"required": ["notValues"]}]),
    );
}
