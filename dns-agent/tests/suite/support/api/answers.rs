//! What the API server answers: lists, watches and faults.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::header::AUTHORIZATION,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;

use super::*;

pub(super) async fn handle(State(world): State<Arc<World>>, request: Request) -> Response {
    let mut resource = request.uri().path().to_owned();
    let mut query: BTreeMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let (fault, token, undefined, refused) = {
        let mut inner = world.lock();
        *inner.asked.entry(resource.clone()).or_default() += 1;
        (
            inner.fault,
            inner.token,
            inner.undefined.contains(&resource),
            inner.refused.get(&resource).copied(),
        )
    };
    let shown = request.headers().get(AUTHORIZATION);
    if token.is_some_and(|token| shown.is_none_or(|shown| shown != &format!("Bearer {token}"))) {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized", "not this token");
    }
    // One namespace's, which are asked for by themselves.
    let below = "/apis/discovery.k8s.io/v1/namespaces/";
    let of = resource
        .strip_prefix(below)
        .and_then(|of| of.split_once('/'));
    if let Some((namespace, "endpointslices")) = of {
        query.insert("namespace".to_owned(), namespace.to_owned());
        SLICES.clone_into(&mut resource);
    }
    match fault {
        Fault::None | Fault::NeverDone | Fault::Flood | Fault::Giant => {}
        Fault::Unauthorised => {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized", "no such token");
        }
        Fault::Garbage => return "<html>welcome</html>".into_response(),
        Fault::NotFound => return (StatusCode::NOT_FOUND, "<html>nothing</html>").into_response(),
        Fault::Endless => {
            let blanks = Bytes::from(vec![b' '; 1 << 20]);
            let more = stream::unfold((world, blanks), |(world, blanks)| async {
                let still = world.lock().fault == Fault::Endless;
                still.then(|| (Ok::<_, Infallible>(blanks.clone()), (world, blanks)))
            });
            return Body::from_stream(more).into_response();
        }
        Fault::Slow => {
            let mut changed = world.changed.subscribe();
            while world.lock().fault == Fault::Slow && changed.changed().await.is_ok() {}
        }
        Fault::Expired => return status(StatusCode::GONE, "Expired", "too old"),
    }
    if let Some(code) = refused {
        let reason = match code {
            StatusCode::FORBIDDEN => "Forbidden",
            _ => "InternalError",
        };
        return status(code, reason, "not now");
    }
    if resource == "/apis" {
        let versions = if world.lock().undefined.contains(SERVICE_CIDRS_BETA) {
            json!([{"version": "v1"}])
        } else {
            json!([{"version": "v1"}, {"version": "v1beta1"}])
        };
        let mut groups = vec![
            json!({"name": "discovery.k8s.io"}),
            json!({"name": "networking.k8s.io", "versions": versions}),
        ];
        if world.lock().multicluster {
            let versions = json!([{"version": "v1alpha1"}, {"version": "v1beta1"}]);
            groups.push(json!({"name": "multicluster.x-k8s.io", "versions": versions}));
        }
        if !world.lock().undefined.contains(GATEWAYS) {
            let versions = json!([{"version": "v1beta1"}, {"version": "v1"}]);
            groups.push(json!({"name": "gateway.networking.k8s.io", "versions": versions}));
        }
        return json!({"kind": "APIGroupList", "groups": groups})
            .to_string()
            .into_response();
    }
    if resource == "/apis/gateway.networking.k8s.io/v1" {
        let resources =
            json!([{"name": "gatewayclasses"}, {"name": "gateways"}, {"name": "gateways/status"}]);
        return json!({"resources": resources}).to_string().into_response();
    }
    if resource == "/apis/networking.k8s.io/v1" {
        let mut resources = vec![json!({"name": "ingresses"})];
        if !world.lock().undefined.contains(SERVICE_CIDRS) {
            resources.push(json!({"name": "servicecidrs"}));
        }
        return json!({"resources": resources}).to_string().into_response();
    }
    if resource == "/apis/networking.k8s.io/v1beta1" {
        let resources = json!([{"name": "ipaddresses"}, {"name": "servicecidrs"}]);
        return json!({"resources": resources}).to_string().into_response();
    }
    if undefined {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    if let Some(below) = resource.strip_prefix("/apis/multicluster.x-k8s.io") {
        let body = match below {
            _ if !world.lock().multicluster => None,
            "/v1beta1" => {
                Some(json!({"resources": [{"name": "serviceexports"}, {"name": "serviceimports"}]}))
            }
            "/v1beta1/serviceexports" | "/v1beta1/serviceimports" => Some(json!(null)),
            _ => None,
        };
        match body {
            None => return status(StatusCode::NOT_FOUND, "NotFound", "no such resource"),
            Some(Value::Null) => {}
            Some(body) => return body.to_string().into_response(),
        }
    }
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if from < world.lock().oldest {
            return status(StatusCode::GONE, "Expired", "too old resource version");
        }
        match fault {
            Fault::Flood if resource == SLICES => return flood(world),
            Fault::Giant if resource == SLICES => return giant(),
            _ => {}
        }
        return watch(world, resource, query, from);
    }
    list(&world, &resource, &query)
}

fn list(world: &World, resource: &str, query: &BTreeMap<String, String>) -> Response {
    let mut inner = world.lock();
    inner.lists += 1;
    if inner.fault == Fault::NeverDone && resource == SERVICES {
        let page = inner.lists;
        let items: Vec<Value> = (0..20_000)
            .map(|at| json!({"metadata": {"name": format!("n{page}-{at}"), "namespace": "shop"}}))
            .collect();
        let metadata = json!({"resourceVersion": "1", "continue": "1"});
        return json!({"kind": "List", "metadata": metadata, "items": items})
            .to_string()
            .into_response();
    }
    let page = inner.page;
    let all = inner.objects.iter();
    let all: Vec<&Value> = all
        .filter(|((of, _, _), object)| of == resource && selected(object, query))
        .map(|(_, object)| object)
        .collect();
    let from: usize = query
        .get("continue")
        .map_or(0, |from| from.parse().unwrap());
    let more = all.len() > from + page;
    let next = if more {
        (from + page).to_string()
    } else {
        String::new()
    };
    let items: Vec<&Value> = all.into_iter().skip(from).take(page).collect();
    let body = json!({
        "kind": "List",
        "metadata": {"resourceVersion": inner.version.to_string(), "continue": next},
        "items": items
    });
    body.to_string().into_response()
}

fn watch(
    world: Arc<World>,
    resource: String,
    query: BTreeMap<String, String>,
    from: u64,
) -> Response {
    let era = world.lock().era;
    let changed = world.changed.subscribe();
    let start = (world, changed, from);
    let events = stream::unfold(start, move |(world, mut changed, from)| {
        let (resource, query) = (resource.clone(), query.clone());
        async move {
            loop {
                {
                    let inner = world.lock();
                    if inner.era != era {
                        return None;
                    }
                    let mut log = inner.log.iter();
                    let next = log.find(|(version, of, _, object)| {
                        *version > from && *of == resource && selected(object, &query)
                    });
                    if let Some((version, _, what, object)) = next {
                        let line = json!({"type": what, "object": object});
                        let line = Ok::<_, Infallible>(Bytes::from(format!("{line}\n")));
                        let next = *version;
                        drop(inner);
                        return Some((line, (world, changed, next)));
                    }
                }
                changed.changed().await.ok()?;
            }
        }
    });
    Body::from_stream(events).into_response()
}

/// A slice as an API server would tell it that had taken one of 9 MiB.
fn giant() -> Response {
    let metadata = json!({
        "namespace": "shop", "name": "giant", "resourceVersion": "1",
        "annotations": {"large": "x".repeat(9 << 20)}
    });
    let slice = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": []});
    let event = json!({"type": "ADDED", "object": slice});
    Body::from(format!("{event}\n")).into_response()
}

/// New slices, of a service that nobody has, for as long as the fault lasts.
fn flood(world: Arc<World>) -> Response {
    const AT_ONCE: usize = 1000;
    let more = stream::unfold((world, 0), |(world, from)| async move {
        if world.lock().fault != Fault::Flood {
            return None;
        }
        let events = (from..from + AT_ONCE).map(|at| {
            format!(
                "{{\"type\": \"ADDED\", \"object\": {{\"metadata\": {{\"namespace\": \"shop\", \"name\": \"n{at}\", \
                 \"resourceVersion\": \"1\"}}, \"addressType\": \"IPv4\", \"endpoints\": []}}}}\n"
            )
        });
        let events = Ok::<_, Infallible>(Bytes::from(events.collect::<String>()));
        Some((events, (world, from + AT_ONCE)))
    });
    Body::from_stream(more).into_response()
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let labels = &object["metadata"]["labels"];
    let by_label =
        query
            .get("labelSelector")
            .is_none_or(|selector| match selector.split_once('=') {
                Some((label, value)) => labels[label] == value,
                None if selector.starts_with('!') => labels.get(&selector[1..]).is_none(),
                None => labels.get(selector).is_some(),
            });
    let by_field = query.get("fieldSelector").is_none_or(|selector| {
        let name = selector.strip_prefix("metadata.name=").unwrap();
        object["metadata"]["name"] == name
    });
    let namespace = &object["metadata"]["namespace"];
    let by_namespace = query.get("namespace").is_none_or(|of| namespace == of);
    by_label && by_field && by_namespace
}

fn status(code: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16()
    });
    (code, body.to_string()).into_response()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, tail @ ..]) = (*first, tail) {
            let hex = String::from_utf8(vec![*high, *low]).unwrap();
            bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}
