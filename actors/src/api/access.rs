//! Who may change something.
//!
//! Whoever can reach the port may read. To change something, a caller shows the token, unless the listener is on a loopback address: who
//! runs programs on the host can do worse than a switchover anyway.
//!
//! The complication is the browser of somebody on that host: any page it shows can send a request to `127.0.0.1`, in its user's name.
//! Such a request betrays itself. A page can send without asking first only what a form can send, which JSON is not; and every browser
//! names the page's origin in each POST. So a body must say that it is JSON, and an `Origin` must be this host. Comparing it with the
//! `Host` header would not do on a loopback listener: a page whose own name was made to resolve to 127.0.0.1 has both the same.

use super::Problem;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

/// The secret that callers show. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Who can reach the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Programs on this host.
    ThisHost,
    /// Everybody that the network lets through.
    Everybody,
}

/// What a caller showed of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing, or something that is no bearer token.
    None,
    /// Another one.
    Wrong,
    /// The right one.
    Right,
}

/// What the head of a request that would change something says of its sender.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The page that sent it, if a browser did.
    pub origin: Option<&'a str>,
    /// Whom it believes it is talking to.
    pub host: Option<&'a str>,
    /// What it showed of the token.
    pub credentials: Credentials,
}

/// Whether the caller may change something.
///
/// # Errors
/// 403 for a foreign page, 401 without the token.
pub fn admit(reach: Reach, caller: Caller<'_>) -> Result<(), Problem> {
    if let Some(origin) = caller.origin
        && !is_own_origin(reach, origin, caller.host)
    {
        return Err(Problem::new(
            403,
            "foreign_origin",
            alloc::format!("a page of `{origin}` may not change this cluster through its reader's browser"),
        ));
    }
    match (reach, caller.credentials) {
        (Reach::ThisHost, _) | (Reach::Everybody, Credentials::Right) => Ok(()),
        (Reach::Everybody, Credentials::None) => Err(Problem::new(
            401,
            "unauthorized",
            "this call changes the cluster: send `Authorization: Bearer TOKEN` with the token of `cluster.token` in witch.toml",
        )),
        (Reach::Everybody, Credentials::Wrong) => {
            Err(Problem::new(401, "unauthorized", "the token is not that of this cluster: see `cluster.token` in this node's witch.toml"))
        }
    }
}

/// Whether a body of this type and length may be read as JSON.
///
/// # Errors
/// 415.
pub fn require_json(content_type: Option<&str>, is_empty: bool) -> Result<(), Problem> {
    let is_json = |value: &str| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    match content_type {
        None if is_empty => Ok(()),
        Some(value) if is_json(value) => Ok(()),
        _ => Err(Problem::new(415, "not_json", "send the body as `Content-Type: application/json`, or send neither body nor type")),
    }
}

fn is_own_origin(reach: Reach, origin: &str, host: Option<&str>) -> bool {
    // `null`, a file, an extension: no scheme of ours, so no page of ours.
    let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else { return false };
    match reach {
        Reach::ThisHost => is_loopback(authority),
        Reach::Everybody => host.is_some_and(|host| host.eq_ignore_ascii_case(authority)),
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(reach: Reach, origin: Option<&str>, credentials: Credentials) -> u16 {
        let caller = Caller { origin, host: Some("db1.example:7000"), credentials };
        admit(reach, caller).map_or_else(|problem| problem.code, |()| 200)
    }

    #[test]
    fn from_elsewhere_only_the_right_token_admits() {
        let codes =
            [Credentials::None, Credentials::Wrong, Credentials::Right].map(|credentials| code(Reach::Everybody, None, credentials));
        assert_eq!(codes, [401, 401, 200]);
        assert_eq!(code(Reach::ThisHost, None, Credentials::None), 200);
    }

    #[test]
    fn a_page_of_another_host_is_refused_even_with_the_token() {
        for origin in ["http://evil.example", "null", "http://localhost.evil.example:7000", "http://127.0.0.1.evil.example", "file://"] {
            assert_eq!(code(Reach::ThisHost, Some(origin), Credentials::None), 403, "{origin}");
            assert_eq!(code(Reach::Everybody, Some(origin), Credentials::Right), 403, "{origin}");
        }
        for origin in ["http://localhost:7000", "http://127.0.0.1", "https://[::1]:7000"] {
            assert_eq!(code(Reach::ThisHost, Some(origin), Credentials::None), 200, "{origin}");
        }
        assert_eq!(code(Reach::Everybody, Some("http://DB1.example:7000"), Credentials::Right), 200);
        assert_eq!(code(Reach::Everybody, Some("http://DB1.example:7000"), Credentials::None), 401);
    }

    #[test]
    fn a_page_whose_name_resolves_to_loopback_is_refused_although_its_host_matches() {
        assert_eq!(code(Reach::ThisHost, Some("http://db1.example:7000"), Credentials::None), 403);
    }

    #[test]
    fn what_a_form_can_send_is_no_json() {
        let is_taken = |content_type, is_empty| require_json(content_type, is_empty).is_ok();
        assert!(is_taken(None, true));
        assert!(is_taken(Some("application/json"), false));
        assert!(is_taken(Some("Application/JSON; charset=utf-8"), true));
        assert!(!is_taken(None, false));
        for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/json-patch+json"] {
            assert!(!is_taken(Some(form), false), "{form}");
            assert!(!is_taken(Some(form), true), "{form}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        assert_eq!(alloc::format!("{:?}", Token("secret".into())), "Token(..)");
    }
}
