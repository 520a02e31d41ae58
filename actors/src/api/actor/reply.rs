//! Answers as JSON.

use crate::api::Problem;
use http::header::{ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde::Serialize;
use warp::reply::{Reply, Response};

/// How old the status is that an answer was made from, where it is served at any age.
const STATUS_AGE: HeaderName = HeaderName::from_static("witch-status-age-ms");

pub(super) fn json<T: Serialize>(code: StatusCode, body: &T) -> Response {
    let mut response = warp::reply::with_status(warp::reply::json(body), code).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn problem(problem: &Problem) -> Response {
    let code = StatusCode::from_u16(problem.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, problem);
    let hint = match code {
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = hint {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn outcome<T: Serialize>(outcome: Result<T, Problem>) -> Response {
    outcome.map_or_else(|refused| problem(&refused), |body| json(StatusCode::OK, &body))
}

pub(super) fn aged(mut response: Response, age_ms: u128) -> Response {
    if let Ok(value) = HeaderValue::from_str(&age_ms.to_string()) {
        response.headers_mut().insert(STATUS_AGE, value);
    }
    response
}

/// The same answer without its body, as `OPTIONS` wants it: load balancers look at the code only.
pub(super) fn bare(response: &Response, allowed: &[Method]) -> Response {
    allowing(warp::reply::with_status(warp::reply(), response.status()).into_response(), allowed)
}

pub(super) fn allowing(mut response: Response, allowed: &[Method]) -> Response {
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}
