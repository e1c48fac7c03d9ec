//! The messages of discovery, as far as they are read and written here.
//! <https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto>

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use prost::Message;
use prost_types::{Any, ListValue, Struct, Value, value::Kind};

/// The type of an extension's configuration.
pub(super) const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// What Envoy asks for, and what it says of what it was given.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DiscoveryRequest {
    #[prost(string, tag = "4")]
    pub(super) type_url: String,
    #[prost(string, tag = "5")]
    pub(super) response_nonce: String,
    #[prost(message, optional, tag = "6")]
    pub(super) error_detail: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// What Envoy is given.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    pub(super) version_info: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) resources: Vec<Any>,
    #[prost(string, tag = "4")]
    pub(super) type_url: String,
    #[prost(string, tag = "5")]
    pub(super) nonce: String,
}

#[derive(Clone, PartialEq, Message)]
struct TypedExtensionConfig {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    typed_config: Option<Any>,
}

/// A message of a type that its sender does not know, as JSON.
#[derive(Clone, PartialEq, Message)]
struct TypedStruct {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Struct>,
}

/// An extension's configuration, whose type `@type` says.
pub(super) fn extension(name: &str, config: serde_json::Value) -> Result<Any> {
    let serde_json::Value::Object(mut config) = config else {
        anyhow::bail!("no configuration: {config}");
    };
    let kind = config.remove("@type").context("no @type")?;
    let config = TypedStruct {
        type_url: kind.as_str().context("@type is text")?.to_owned(),
        value: Some(structure(config)),
    };
    let config = Any {
        type_url: "type.googleapis.com/xds.type.v3.TypedStruct".to_owned(),
        value: config.encode_to_vec(),
    };
    let config = TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(config),
    };
    Ok(Any {
        type_url: EXTENSION.to_owned(),
        value: config.encode_to_vec(),
    })
}

fn structure(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    let fields = fields.into_iter().map(|(name, field)| (name, value(field)));
    Struct {
        fields: fields.collect::<BTreeMap<_, _>>(),
    }
}

fn value(value_: serde_json::Value) -> Value {
    let kind = match value_ {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(value).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(structure(fields)),
    };
    Value { kind: Some(kind) }
}
