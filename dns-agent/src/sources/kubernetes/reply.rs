//! Replies of API servers, read within bounds: who answers may be anybody, and may never end.

use std::{io, pin::Pin};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use http::Request;
use kube::Client;

/// As much of a reply as is read, in bytes.
const LONGEST: u64 = 32 << 20;
/// As much of one event. An API server takes no object of more than 3 MiB.
const LONGEST_EVENT: u64 = 8 << 20;

/// Why there is no reply.
pub(super) enum Failure {
    /// The API server says so, or there is none.
    Refused(kube::Error),
    /// It is longer than anybody needs.
    TooLong,
}

/// A whole reply.
pub(super) async fn text(client: &Client, request: Request<Vec<u8>>) -> Result<String, Failure> {
    let body = client.request_stream(request).await;
    let body = Box::pin(body.map_err(Failure::Refused)?);
    let mut bytes = Vec::new();
    let read = body.take(LONGEST + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| Failure::Refused(kube::Error::ReadEvents(error)))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| Failure::Refused(kube::Error::FromUtf8(error)))
}

/// A reply that is read line by line, as it comes.
pub(super) struct Lines(Pin<Box<dyn AsyncBufRead + Send>>);

impl Lines {
    /// Waits until the reply begins.
    pub(super) async fn open(client: &Client, request: Request<Vec<u8>>) -> kube::Result<Self> {
        Ok(Self(Box::pin(client.request_stream(request).await?)))
    }

    /// The next line; `None`: there is none any more. The last may be a part of one. A line that does not end is an error of
    /// the kind [`io::ErrorKind::InvalidData`].
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut rest = (&mut self.0).take(LONGEST_EVENT);
        rest.read_until(b'\n', &mut line).await?;
        if line.len() as u64 == LONGEST_EVENT {
            let error = "an event is longer than any object can be";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok((!line.is_empty()).then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::Cursor;

    use super::*;

    async fn check(text: String, expected: &[Option<usize>]) {
        let mut lines = Lines(Box::pin(Cursor::new(text)));
        for expected in expected {
            let found = lines
                .next()
                .await
                .ok()
                .map(|line| line.map_or(0, |line| line.len()));
            assert_eq!(found, *expected);
        }
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_none_without_an_end() {
        let longest = usize::try_from(LONGEST_EVENT).unwrap();
        check(
            "one\n\ntwo".to_owned(),
            &[Some(4), Some(1), Some(3), Some(0)],
        )
        .await;
        let line = |length: usize| format!("{}\n", "x".repeat(length));
        check(line(longest - 2), &[Some(longest - 1), Some(0)]).await;
        check(line(longest), &[None]).await;
    }
}
