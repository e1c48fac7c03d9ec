//! `crossmesh policy schema`.

use crossmesh_policy::{cases, json_schema};
use serde_json::{Map, Value, json};

use crate::End;
use crate::args::Schema;
use crate::document::{API_VERSION, Kind};
use crate::output::Output;

/// Prints the schema.
///
/// # Errors
/// Only when nothing can be written.
pub(crate) fn run(args: &Schema, output: &Output) -> anyhow::Result<End> {
    output.json(&if args.resource {
        of_resources(json_schema())
    } else if args.cases {
        cases::json_schema()
    } else {
        json_schema()
    })?;
    Ok(End::Good)
}

/// The schema of the resources that carry a policy. Of the rest of them it says nothing: that is Istio's.
fn of_resources(mut policy: Value) -> Value {
    let dialect = policy["$schema"].take();
    let mut definitions = policy["$defs"].take();
    if let Some(policy) = policy.as_object_mut() {
        policy.remove("$schema");
        policy.remove("$defs");
    }
    definitions["PluginConfig"] = policy;
    let kinds = [Kind::WasmPlugin, Kind::TrafficExtension];
    let each = kinds.map(|kind| {
        json!({
            "if": {"properties": {"kind": {"const": kind.as_str()}}, "required": ["kind"]},
            "then": within(kind.path(), json!({"$ref": "#/$defs/PluginConfig"})),
        })
    });
    json!({
        "$schema": dialect,
        "title": "WasmPlugin or TrafficExtension of crossmesh",
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": kinds.map(Kind::as_str)},
        },
        "required": ["apiVersion", "kind", "spec"],
        "allOf": each,
        "$defs": definitions,
    })
}

/// The schema of an object in which something stands under these keys.
fn within(path: &[&str], inner: Value) -> Value {
    path.iter().rev().fold(inner, |inner, key| {
        let properties = Map::from_iter([((*key).to_owned(), inner)]);
        json!({"properties": properties, "required": [key]})
    })
}
