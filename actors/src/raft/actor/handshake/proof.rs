//! Proving that one knows the token without saying it.

use super::Failure;
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The shared secret of a cluster.
#[derive(Clone, Default)]
pub struct Token(Vec<u8>);

impl Token {
    /// Empty: no secret, legal on loopback only.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(secret.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for Token {
    /// Never shows it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Token(none)" } else { "Token(secret)" })
    }
}

/// Drawn for one handshake only, so that no proof can be used twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Nonce(#[serde(with = "serde_bytes")] [u8; 32]);

impl Nonce {
    pub(super) fn draw() -> Result<Self, Failure> {
        let mut nonce = [0; 32];
        OsRng.try_fill_bytes(&mut nonce).map_err(std::io::Error::other)?;
        Ok(Self(nonce))
    }
}

/// Who proves: a proof of one side is none of the other, so it cannot be sent back.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Acceptor,
    Dialer,
}

/// What both sides have said, byte by byte.
pub(super) struct Transcript<'a> {
    pub(super) hello: &'a [u8],
    pub(super) terms: &'a [u8],
}

impl Transcript<'_> {
    fn mac(&self, token: &Token, side: Side) -> Hmac<Sha256> {
        let label = match side {
            Side::Acceptor => "witch acceptor",
            Side::Dialer => "witch dialer",
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&token.0).expect("HMAC takes keys of any length");
        for part in [label.as_bytes(), &super::MAGIC, self.hello, self.terms] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    pub(super) fn prove(&self, token: &Token, side: Side) -> Vec<u8> {
        self.mac(token, side).finalize().into_bytes().to_vec()
    }

    /// Takes the same time whatever is wrong with the proof.
    pub(super) fn is_proved(&self, token: &Token, side: Side, proof: &[u8]) -> bool {
        self.mac(token, side).verify_slice(proof).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_side_one_token_and_one_transcript() {
        let (token, transcript) = (Token::new("secret"), Transcript { hello: b"hello", terms: b"terms" });
        let proof = transcript.prove(&token, Side::Dialer);
        assert!(transcript.is_proved(&token, Side::Dialer, &proof));
        assert!(!transcript.is_proved(&token, Side::Acceptor, &proof), "it could be sent back");
        assert!(!transcript.is_proved(&Token::new("other"), Side::Dialer, &proof));
        assert!(!transcript.is_proved(&token, Side::Dialer, &proof[..31]), "a shorter proof is easier to guess");
        assert!(!transcript.is_proved(&token, Side::Dialer, &[]));
        let shifted = Transcript { hello: b"hellot", terms: b"erms" };
        assert!(!shifted.is_proved(&token, Side::Dialer, &proof), "where one part ends must count");
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?} {:?}", Token::new("hunter2"), Token::default()), "Token(secret) Token(none)");
    }
}
