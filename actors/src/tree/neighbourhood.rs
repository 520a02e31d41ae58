//! What counts as one address where strangers are given a few places each.

use core::net::{IpAddr, Ipv6Addr};

/// Whoever has one address of IPv6 has the 2^64 beside it, too.
#[must_use]
pub fn neighbourhood(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}
