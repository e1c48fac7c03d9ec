//! gRPC over HTTP/2, as far as one message each way: frames, and the status in trailers.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::convert::Infallible;

use anyhow::{Context, Result, ensure};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

/// The status of a call that went well.
pub const OK: u32 = 0;
/// The status of a call that its caller may not make.
pub const PERMISSION_DENIED: u32 = 7;

const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `grpc-status`.
    pub status: u32,
    /// `grpc-message`; empty if there was none.
    pub message: String,
    /// The message that was answered; none where the answer is its trailers only.
    pub answer: Option<String>,
}

/// A message, as it goes over the wire: uncompressed, and its size before it.
pub(crate) fn frame(message: &[u8]) -> Result<Bytes> {
    let size = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[0], &size[..], message].concat().into())
}

/// The first whole message of these bytes, which is taken from them; none if there is not yet one.
pub(crate) fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let Some(([compressed, size @ ..], rest)) = bytes.split_first_chunk::<5>() else {
        return Ok(None);
    };
    ensure!(*compressed == 0, "a compressed message");
    let size = usize::try_from(u32::from_be_bytes(*size))?;
    let Some(message) = rest.get(..size) else {
        return Ok(None);
    };
    let message = message.to_vec();
    bytes.drain(..size + 5);
    Ok(Some(message))
}

/// Whether these are the headers of a call.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE) == Some(&CONTENT)
}

/// The answer to a call that went well.
pub(crate) fn answer(message: &[u8]) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let body = frame(message).unwrap_or_default();
    let trailers = HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static("grpc-status"),
        HeaderValue::from(OK),
    )]);
    let body = Full::new(body).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, CONTENT);
    response
}

/// Reads an answer to its end. An error means that it is none of gRPC.
pub(crate) async fn outcome(response: Response<Incoming>) -> Result<Outcome> {
    let (head, body) = response.into_parts();
    ensure!(
        head.status == StatusCode::OK && is_call(&head.headers),
        "no answer to a call: {head:?}"
    );
    let body = body.collect().await?;
    // Without a message the trailers are the headers ("Trailers-Only").
    let trailers = body.trailers().unwrap_or(&head.headers).clone();
    let text = |name: &str| trailers.get(name).map(HeaderValue::to_str).transpose();
    let status = text("grpc-status")?.with_context(|| format!("no grpc-status: {trailers:?}"))?;
    let mut body = body.to_bytes().to_vec();
    let answer = take_frame(&mut body)?;
    ensure!(body.is_empty(), "more than one whole message: {body:?}");
    Ok(Outcome {
        status: status.parse()?,
        message: text("grpc-message")?.unwrap_or_default().to_owned(),
        answer: answer.map(String::from_utf8).transpose()?,
    })
}
