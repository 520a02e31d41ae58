//! Reads the body of a request within limits of size and time.

use crate::api::Problem;
use bytes::Buf;
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

/// A body that is too long is read on and thrown away up to this, since who is still sending does not hear the answer.
const THROWN_AWAY_MAX: usize = 1024 * 1024;

/// The whole body.
pub(super) async fn read<S, B, E>(body: S, length_max: usize, limit: Duration) -> Result<Vec<u8>, Problem>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let too_slow = |_| Problem::new(408, "too_slow", format!("the body did not arrive within {} ms", limit.as_millis()));
    timeout(limit, gather(body, length_max)).await.map_err(too_slow)?
}

async fn gather<S, B, E>(body: S, length_max: usize) -> Result<Vec<u8>, Problem>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut body = pin!(body);
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| Problem::new(400, "malformed", "the body broke off or is not encoded as the head says"))?;
        length = length.saturating_add(chunk.remaining());
        if length > THROWN_AWAY_MAX {
            break;
        }
        while length <= length_max && chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let count = part.len();
            chunk.advance(count);
        }
    }
    if length > length_max {
        return Err(Problem::new(413, "too_large", format!("the body is longer than {length_max} bytes")));
    }
    Ok(bytes)
}

/// What the body says; an empty one says the default.
pub(super) fn parse<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    // A list would do for serde, field by field, and for nobody else.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::new(400, "malformed", "the body is not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::new(400, "malformed", format!("the body is not what this call takes: {error}")))
}
