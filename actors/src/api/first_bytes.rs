//! Tells by its first bytes who knocks at the shared port.

/// What a peer link opens with; the last byte is the protocol's version.
pub const PEER_MAGIC: [u8; 8] = *b"WITCH\0\0\x01";

/// So many bytes are enough to tell.
pub const ENOUGH: usize = PEER_MAGIC.len();

/// Who knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// Another node's daemon.
    Peer,
    /// A daemon that speaks another version of the peer protocol.
    StrangePeer {
        /// The version.
        version: u8,
    },
    /// A client that wants to talk TLS.
    Tls,
    /// A PostgreSQL client: its start-up packet begins with a length of less than 16 MiB, so with a zero byte, which begins nothing else here.
    Postgres,
    /// Anything else: HTTP will tell whether it is HTTP.
    Http,
}

/// Who knocks, or None while the bytes are too few to tell.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Option<Guest> {
    let (magic, version) = PEER_MAGIC.split_at(ENOUGH - 1);
    match bytes {
        [] => None,
        [0x16, ..] => Some(Guest::Tls),
        [0, ..] => Some(Guest::Postgres),
        _ if bytes.len() < ENOUGH => {
            let common = bytes.len().min(magic.len());
            if bytes[..common] == magic[..common] { None } else { Some(Guest::Http) }
        }
        _ if bytes.starts_with(magic) && bytes[ENOUGH - 1] == version[0] => Some(Guest::Peer),
        _ if bytes.starts_with(magic) => Some(Guest::StrangePeer { version: bytes[ENOUGH - 1] }),
        _ => Some(Guest::Http),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_recognised_by_its_first_bytes() {
        assert_eq!(recognise(b"WITCH\0\0\x01rest"), Some(Guest::Peer));
        assert_eq!(recognise(b"WITCH\0\0\x02"), Some(Guest::StrangePeer { version: 2 }));
        assert_eq!(recognise(&[0x16, 3, 1, 2, 0]), Some(Guest::Tls));
        assert_eq!(recognise(&[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), Some(Guest::Postgres));
        for http in ["GET / HTTP/1.1\r\n", "HEAD /primary", "POST /switchover", "G", "WITH", "WITCHES!", "\r\n\r\n"] {
            assert_eq!(recognise(http.as_bytes()), Some(Guest::Http), "{http:?}");
        }
    }

    #[test]
    fn the_beginning_of_the_magic_is_not_judged_too_early() {
        for length in 0..ENOUGH {
            assert_eq!(recognise(&PEER_MAGIC[..length]), None, "{length} bytes");
        }
    }
}
