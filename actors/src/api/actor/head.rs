//! Whether a request is meant for us: looked at before anything is answered.

use crate::api::Problem;
use crate::api::access::Hosts;
use http::header::HOST;
use http::{HeaderValue, Request, Version};
use std::net::IpAddr;

/// What a load balancer asks: it may call us by the name of a service, and a page learns nothing from these but whether a node is well.
const CHECKS: [&str; 3] = ["/health", "/primary", "/replica"];

/// `here` is the address that the connection came in at.
///
/// # Errors
/// 400 and 421.
pub(super) fn check<B>(request: &Request<B>, hosts: &Hosts, here: IpAddr) -> Result<(), Problem> {
    let sent: Vec<_> = request.headers().get_all(HOST).iter().map(|value: &HeaderValue| value.to_str().ok()).collect();
    let needs_one = request.version() >= Version::HTTP_11;
    let any_name = CHECKS.contains(&request.uri().path());
    let is_own = |address: IpAddr| is_own(address, here);
    hosts.check(&sent, needs_one, any_name, is_own)?;
    match request.uri().authority() {
        // It counts more than the header, says RFC 9112.
        Some(authority) => hosts.check(&[Some(authority.as_str())], needs_one, any_name, is_own),
        None => Ok(()),
    }
}

/// Only asked about an address that is not the connection's own, which is rare.
fn is_own(address: IpAddr, here: IpAddr) -> bool {
    let is_at = |interface: nix::ifaddrs::InterfaceAddress| {
        let at = interface.address?;
        let v4 = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        v4.or_else(|| at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))
    };
    let interfaces = || nix::ifaddrs::getifaddrs().into_iter().flatten();
    address.is_loopback() || address == here.to_canonical() || interfaces().any(|interface| is_at(interface) == Some(address))
}
