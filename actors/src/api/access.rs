//! Who may change something, and whom a request may take us for.
//!
//! Whoever can reach the port may read. To change something, a caller comes over the Unix socket in Witch's own folder, where the kernel says
//! who it is, or shows the token of the API. The secret of the peers opens nothing here: it is never sent to anybody.
//!
//! The complication is the browser of somebody who can reach the port: any page it shows can send a request, in its user's name. Such a
//! request betrays itself. A page can send without asking first only what a form can send, which JSON is not; every browser names the page's
//! origin in each POST; and a page whose own name was made to resolve to our address names itself as the `Host`. So a body must say that it is
//! JSON, an `Origin` must be the very host that is asked, and that host must be one of ours.

use super::Problem;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// The secret that callers show. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// How a caller comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Over the Unix socket, as root or as the daemon's own user.
    Socket,
    /// Over the network, this host's own included.
    Network,
}

/// What a caller showed of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// There is none that could be shown.
    Impossible,
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
/// 403 for a foreign page and where no token is set, 401 without the token that is.
pub fn admit(entrance: Entrance, caller: Caller<'_>) -> Result<(), Problem> {
    if let Some(origin) = caller.origin
        && !is_own_origin(origin, caller.host)
    {
        let origin = crate::printable::printable(origin, 200);
        let reason = alloc::format!("a page of `{origin}` may not change this cluster through its reader's browser");
        return Err(Problem::new(403, "foreign_origin", reason));
    }
    match (entrance, caller.credentials) {
        (Entrance::Socket, _) | (Entrance::Network, Credentials::Right) => Ok(()),
        (Entrance::Network, Credentials::Impossible) => Err(Problem::new(
            403,
            "socket_only",
            "this node takes changes over its Unix socket only, since no `api.token` is set: run the command on the node's own host, as root or \
             as the user who runs witch; or set `api.token`, a secret of its own and not that of `cluster.token`, and send it as \
             `Authorization: Bearer TOKEN`",
        )),
        (Entrance::Network, Credentials::None) => Err(Problem::new(
            401,
            "unauthorized",
            "this call changes the cluster: send `Authorization: Bearer TOKEN` with the token of `api.token` in witch.toml",
        )),
        (Entrance::Network, Credentials::Wrong) => Err(Problem::new(
            401,
            "unauthorized",
            "the token is not that of this node's API: see `api.token` in its witch.toml; that of `cluster.token` is for the nodes only",
        )),
    }
}

/// Whether a body of this type and length may be read as JSON.
///
/// # Errors
/// 415, and 400 where a body is announced and does not come.
pub fn require_json(content_type: Option<&str>, is_empty: bool) -> Result<(), Problem> {
    let is_json = |value: &str| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    match content_type {
        None if is_empty => Ok(()),
        // Somebody's client has lost the body, and what it would have said is anybody's guess.
        Some(value) if is_json(value) && is_empty => {
            Err(Problem::new(400, "malformed", "the type says JSON and there is no body: send `{}`, or send neither body nor type"))
        }
        Some(value) if is_json(value) => Ok(()),
        _ => Err(Problem::new(415, "not_json", "send the body as `Content-Type: application/json`, or send neither body nor type")),
    }
}

/// Who a `Host` header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An address.
    Address(IpAddr),
    /// A name, in small letters.
    Name(String),
}

/// Reads `HOST`, `HOST:PORT` or `[IPV6]:PORT`, and nothing that merely looks like one of them.
#[must_use]
pub fn named(authority: &str) -> Option<Named> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (Named::Address(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?).to_canonical()), port)
        }
        None => {
            let (host, port) = authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon));
            let named = match host.parse::<IpAddr>() {
                Ok(address) => Named::Address(address),
                Err(_) => Named::Name(name(host)?),
            };
            (named, port)
        }
    };
    let is_port = |digits: &str| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// As names are compared: in small letters, without the dot of the root.
fn name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(is_plain)).then(|| host.to_ascii_lowercase())
}

/// Which hosts are ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: Vec<Named>,
}

impl Hosts {
    /// `localhost`, and these names and addresses.
    #[must_use]
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        // An address of IPv6 stands here without its brackets.
        let read = |host: &str| host.parse::<IpAddr>().map(|address| Named::Address(address.to_canonical())).ok().or_else(|| named(host));
        Self { names: core::iter::once("localhost").chain(hosts).filter_map(read).collect() }
    }

    /// Whether a request with these `Host` headers is meant for us. Those of HTTP/1.1 have exactly one; it may be empty.
    ///
    /// # Errors
    /// 400 and 421.
    pub fn check(
        &self,
        sent: &[Option<&str>],
        needs_one: bool,
        any_name: bool,
        is_own: impl FnOnce(IpAddr) -> bool,
    ) -> Result<(), Problem> {
        let sent = match sent {
            [] if needs_one => return Err(Problem::new(400, "malformed", "a request of HTTP/1.1 has a `Host` header: send one")),
            [] => return Ok(()),
            [one] => *one,
            _ => return Err(Problem::new(400, "malformed", "the request has more than one `Host` header: send one")),
        };
        if sent.is_some_and(str::is_empty) {
            return Ok(());
        }
        let host =
            sent.and_then(named).ok_or_else(|| Problem::new(400, "malformed", "the `Host` header is neither a name nor an address"))?;
        let is_ours = self.names.contains(&host) || matches!(host, Named::Address(address) if is_own(address));
        if any_name || is_ours {
            return Ok(());
        }
        let shown = match host {
            Named::Address(address) => address.to_string(),
            Named::Name(name) => name,
        };
        Err(Problem::new(
            421,
            "another_host",
            alloc::format!(
                "`{shown}` is not a name of this node, so a page that was made to resolve to it could be asking: ask by the node's address or \
                 its `cluster.advertise_host`, or add the name to `api.hosts` in witch.toml"
            ),
        ))
    }
}

/// A page of ours would have been fetched from the very host and port that it asks.
fn is_own_origin(origin: &str, host: Option<&str>) -> bool {
    // `null`, a file, an extension: no scheme of ours, so no page of ours.
    let Some(authority) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else { return false };
    named(authority).is_some() && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(entrance: Entrance, origin: Option<&str>, credentials: Credentials) -> u16 {
        let caller = Caller { origin, host: Some("db1.example:7000"), credentials };
        admit(entrance, caller).map_or_else(|problem| problem.code, |()| 200)
    }

    #[test]
    fn over_the_network_only_the_right_token_admits() {
        let credentials = [Credentials::Impossible, Credentials::None, Credentials::Wrong, Credentials::Right];
        assert_eq!(credentials.map(|credentials| code(Entrance::Network, None, credentials)), [403, 401, 401, 200]);
        assert_eq!(credentials.map(|credentials| code(Entrance::Socket, None, credentials)), [200; 4]);
    }

    #[test]
    fn a_page_of_another_host_is_refused_even_with_the_token() {
        for origin in [
            "http://evil.example",
            "null",
            "file://",
            "http://localhost:7000",
            "http://127.0.0.1:7000",
            "http://db1.example:7000@evil",
            "http://db1.example:7000/",
            "http://[::1]evil",
            "http://localhost:x@evil",
            "http://db1.example",
        ] {
            assert_eq!(code(Entrance::Network, Some(origin), Credentials::Right), 403, "{origin}");
            assert_eq!(code(Entrance::Socket, Some(origin), Credentials::None), 403, "{origin}");
        }
        assert_eq!(code(Entrance::Network, Some("http://DB1.example:7000"), Credentials::Right), 200);
        assert_eq!(code(Entrance::Network, Some("http://DB1.example:7000"), Credentials::None), 401);
    }

    #[test]
    fn only_a_whole_authority_is_one() {
        let name = |text: &str| Some(Named::Name(text.into()));
        let address = |text: &str| Some(Named::Address(text.parse().expect("an address")));
        for (text, expected) in [
            ("DB1.Example.", name("db1.example")),
            ("db1:7000", name("db1")),
            ("db1:", name("db1")),
            ("10.0.0.1:7000", address("10.0.0.1")),
            ("[fd00::1]:7000", address("fd00::1")),
            ("[::1]", address("::1")),
            ("[::ffff:10.0.0.1]", address("10.0.0.1")),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
        for text in
            ["", ":7000", "[::1]evil", "[::1]:x", "[::1", "::1", "localhost:x@evil", "a b", "a/b", "a@b", "db1:700000", "[evil]", "a:1:2"]
        {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_ours_is_answered_421() {
        let hosts = Hosts::new(["DB1.example", "fd00::7", "10.0.0.1"]);
        let own = |address: IpAddr| address == IpAddr::from([192, 168, 7, 7]) || address.is_loopback();
        let code =
            |sent: &[Option<&str>], needs_one| hosts.check(sent, needs_one, false, own).map_or_else(|problem| problem.code, |()| 200);
        for ours in [
            "db1.example",
            "db1.EXAMPLE.:7000",
            "localhost:1",
            "10.0.0.1",
            "[fd00::7]:7000",
            "192.168.7.7:7000",
            "127.0.0.1",
            "[::1]:7",
            "",
        ] {
            assert_eq!(code(&[Some(ours)], true), 200, "{ours}");
        }
        for foreign in ["rebind.evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.9:7000", "db1.example.evil"] {
            assert_eq!(code(&[Some(foreign)], true), 421, "{foreign}");
            assert_eq!(code(&[Some(foreign)], false), 421, "{foreign}");
        }
        for malformed in ["a b", "[::1]evil", "x@localhost"] {
            assert_eq!(code(&[Some(malformed)], true), 400, "{malformed}");
        }
        assert_eq!((code(&[], true), code(&[], false), code(&[None], true)), (400, 200, 400));
        assert_eq!(code(&[Some("localhost"), Some("localhost")], false), 400);
        assert!(hosts.check(&[Some("vip.example")], true, true, own).is_ok(), "a balancer may call a check what it likes");
    }

    #[test]
    fn what_a_form_can_send_is_no_json_and_what_is_announced_must_come() {
        let code = |content_type, is_empty| require_json(content_type, is_empty).map_or_else(|problem| problem.code, |()| 200);
        assert_eq!(code(None, true), 200);
        assert_eq!(code(Some("application/json"), false), 200);
        assert_eq!(code(Some("Application/JSON; charset=utf-8"), true), 400);
        assert_eq!(code(None, false), 415);
        for form in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/json-patch+json"] {
            assert_eq!((code(Some(form), false), code(Some(form), true)), (415, 415), "{form}");
        }
    }

    #[test]
    fn a_token_is_never_printed() {
        assert_eq!(alloc::format!("{:?}", Token("secret".into())), "Token(..)");
    }
}
