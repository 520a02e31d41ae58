//! Two nodes prove to each other who they are before either says anything else.
//!
//! ```text
//! dialer                                        acceptor
//! WITCH\0\0\1                        ------>    (the shared port knows a link by these bytes)
//! Hello{versions, cluster, node, nonce ..} -->  checks versions, cluster, node
//!                                    <------    Challenge{terms{version, cluster, node, nonce ..}}
//! checks cluster, node, version
//! Proof{proof}                       ------>    checks the proof, membership, twins
//!                                    <------    Welcome{proof}
//! checks the proof, membership, twins
//! Linked                             ------>
//! ```
//!
//! The dialer proves first: whoever merely connects gets nothing that it could guess the token by at its leisure. All of it has to be over
//! within [`HANDSHAKE_MAX`].
//!
//! At any point either side may say `Refused{code, text}` instead, and the text says in words why, so that both logs name the reason.
//! A proof is an HMAC-SHA256 under the shared token over both sides' own words, nonces included: the token never crosses the wire, a
//! recorded link cannot be played again, and a proof of one direction is none for the other. Without a token the key is empty, and anybody who
//! reaches the port is believed; that is legal on loopback only, which the configuration enforces. The link itself is not encrypted: that is
//! TLS's business.
//!
//! The frames of the handshake are encoded with field names, so that they can grow and still be read by every version; the frames after it
//! are positional, and their shape is what the negotiated version stands for.

mod frames;
mod proof;
mod refusal;

pub use proof::Token;
pub use refusal::{Address, Failure, Refusal};

use crate::model::{Boot, Endpoint, NodeId};
use frames::{Answer, Claim, Hello, Settled, Terms, Verdict};
use proof::{Nonce, Side, Transcript};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// The first bytes of a link on the shared port. The last one numbers this very handshake.
pub const MAGIC: [u8; 8] = *b"WITCH\0\0\x01";
/// The versions of the frames after the handshake that we speak.
pub const VERSIONS: Versions = Versions { min: 4, max: 4 };
/// Of a frame while we do not know yet with whom we speak.
const FRAME_MAX: usize = 64 << 10;
/// The whole handshake has to be over by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
/// A name in a hello is no longer than this: it is logged, and who says it has proved nothing yet.
const NAME_MAX: usize = 64;

/// A range of protocol versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Versions {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl Versions {
    /// The newest that both speak.
    fn common(self, other: Self) -> Option<u16> {
        let version = self.max.min(other.max);
        (version >= self.min && version >= other.min).then_some(version)
    }
}

/// What this node says of itself, and the secret that proves it.
#[derive(Clone, Debug)]
pub struct Local {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
    /// This life of its daemon.
    pub boot: Boot,
    /// Where it says that it listens.
    pub endpoint: Endpoint,
    /// The shared secret.
    pub token: Token,
}

/// Who proved to be on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub node: NodeId,
    /// The life of its daemon.
    pub boot: Boot,
    /// Where it says that it listens; known of dialers only.
    pub endpoint: Option<Endpoint>,
    /// The version of the frames that follow.
    pub version: u16,
}

/// A stream that is cut into frames.
pub type Link<S> = Framed<S, LengthDelimitedCodec>;

fn framed<S: AsyncRead + AsyncWrite>(stream: S) -> Link<S> {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_MAX).new_framed(stream)
}

/// Dials: expects that node on the other side. `admit` is asked about whoever has proved to be it; what it answers is returned.
///
/// # Errors
/// See [`Failure`].
pub async fn dial<S, T>(
    mut stream: S,
    local: &Local,
    expected: NodeId,
    admit: impl FnOnce(&Peer) -> Result<T, Refusal>,
) -> Result<(Link<S>, T), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let by = Deadline::set();
    by.within("the connection to take our first bytes", async { Ok(stream.write_all(&MAGIC).await?) }).await?;
    let mut link = framed(stream);
    let hello = Hello {
        versions: VERSIONS,
        cluster: local.cluster.clone(),
        node: local.node,
        boot: local.boot,
        endpoint: local.endpoint.clone(),
        nonce: Nonce::draw()?,
    };
    let said = frames::encode(&hello);
    let answer = by.within("its challenge", async {
        frames::send(&mut link, said.clone()).await?;
        frames::receive(&mut link).await
    });
    let terms = match answer.await? {
        Answer::Challenge { terms } => terms,
        Answer::Refused(refused) => return Err(refused.into()),
    };
    let peer = match check_terms(local, expected, &frames::decode(&terms)?)? {
        Ok(peer) => peer,
        Err(refusal) => return Err(refuse(&mut link, by, Claim::Refused(refusal.to_words()), refusal).await),
    };
    let transcript = Transcript { hello: &said, terms: &terms };
    let claim = Claim::Proof { proof: transcript.prove(&local.token, Side::Dialer) };
    let verdict = by.within("its verdict", async {
        frames::send(&mut link, frames::encode(&claim)).await?;
        frames::receive(&mut link).await
    });
    let proof = match verdict.await? {
        Verdict::Welcome { proof } => proof,
        Verdict::Refused(refused) => return Err(refused.into()),
    };
    let admitted = if transcript.is_proved(&local.token, Side::Acceptor, &proof) { admit(&peer) } else { Err(Refusal::Token) };
    match admitted {
        Ok(admitted) => {
            by.within("our last word to be taken", frames::send(&mut link, frames::encode(&Settled::Linked))).await?;
            Ok((link, admitted))
        }
        Err(refusal) => Err(refuse(&mut link, by, Settled::Refused(refusal.to_words()), refusal).await),
    }
}

/// What is wrong with the acceptor's terms, or who it says that it is.
fn check_terms(local: &Local, expected: NodeId, terms: &Terms) -> Result<Result<Peer, Refusal>, Failure> {
    check_names(&terms.cluster, None)?;
    let refusal = if terms.cluster != local.cluster {
        Refusal::Cluster { acceptor: terms.cluster.clone(), dialer: local.cluster.clone() }
    } else if terms.node != expected {
        Refusal::OtherNode { expected, found: terms.node }
    } else if terms.version < VERSIONS.min || terms.version > VERSIONS.max {
        Refusal::Version { acceptor: Versions { min: terms.version, max: terms.version }, dialer: VERSIONS }
    } else {
        return Ok(Ok(Peer { node: terms.node, boot: terms.boot, endpoint: None, version: terms.version }));
    };
    Ok(Err(refusal))
}

/// What a stranger may make us log is bounded when it is read.
fn check_names(cluster: &str, endpoint: Option<&Endpoint>) -> Result<(), Failure> {
    let too_long = |what: &str, length: usize| Err(Failure::foreign(&format!("{what} has {length} bytes, and {NAME_MAX} are the most")));
    match endpoint {
        _ if cluster.len() > NAME_MAX => too_long("the cluster's name", cluster.len()),
        // A name in the DNS is no longer than this.
        Some(endpoint) if endpoint.host.len() > 255 => Err(Failure::foreign("the name of its host is longer than 255 bytes")),
        _ => Ok(()),
    }
}

/// Accepts. `admit` has the last word, on somebody who has proved who it is; what it answers is returned.
///
/// # Errors
/// See [`Failure`].
pub async fn accept<S, T>(
    mut stream: S,
    local: &Local,
    admit: impl FnOnce(&Peer) -> Result<T, Refusal>,
) -> Result<(Link<S>, Peer, T), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut magic = [0; MAGIC.len()];
    let by = Deadline::set();
    by.within("its first bytes", async { Ok(stream.read_exact(&mut magic).await.map(|_| ())?) }).await?;
    if magic != MAGIC {
        return Err(Failure::foreign(&format!("its first bytes are \"{}\"", magic.escape_ascii())));
    }
    let mut link = framed(stream);
    let said = by.within("its hello", frames::receive_bytes(&mut link)).await?;
    let hello: Hello = frames::decode(&said)?;
    check_names(&hello.cluster, Some(&hello.endpoint))?;
    let version = match check_hello(local, &hello) {
        Ok(version) => version,
        Err(refusal) => return Err(refuse(&mut link, by, Answer::Refused(refusal.to_words()), refusal).await),
    };
    let own = Terms { version, cluster: local.cluster.clone(), node: local.node, boot: local.boot, nonce: Nonce::draw()? };
    let terms = frames::encode(&own);
    let challenge = Answer::Challenge { terms: terms.to_vec() };
    let claim = by.within("its proof", async {
        frames::send(&mut link, frames::encode(&challenge)).await?;
        frames::receive(&mut link).await
    });
    let proof = match claim.await? {
        Claim::Proof { proof } => proof,
        Claim::Refused(refused) => return Err(refused.into()),
    };
    let transcript = Transcript { hello: &said, terms: &terms };
    let peer = Peer { node: hello.node, boot: hello.boot, endpoint: Some(hello.endpoint), version };
    let admitted = if transcript.is_proved(&local.token, Side::Dialer, &proof) { admit(&peer) } else { Err(Refusal::Token) };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return Err(refuse(&mut link, by, Verdict::Refused(refusal.to_words()), refusal).await),
    };
    let welcome = Verdict::Welcome { proof: transcript.prove(&local.token, Side::Acceptor) };
    let settled = by.within("its last word", async {
        frames::send(&mut link, frames::encode(&welcome)).await?;
        frames::receive(&mut link).await
    });
    match settled.await? {
        Settled::Linked => Ok((link, peer, admitted)),
        Settled::Refused(refused) => Err(refused.into()),
    }
}

fn check_hello(local: &Local, hello: &Hello) -> Result<u16, Refusal> {
    if hello.cluster != local.cluster {
        return Err(Refusal::Cluster { acceptor: local.cluster.clone(), dialer: hello.cluster.clone() });
    }
    if hello.node == local.node {
        return Err(if hello.boot == local.boot { Refusal::Itself } else { Refusal::SameNode { node: local.node } });
    }
    VERSIONS.common(hello.versions).ok_or(Refusal::Version { acceptor: VERSIONS, dialer: hello.versions })
}

async fn refuse<S, F>(link: &mut Link<S>, by: Deadline, frame: F, refusal: Refusal) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: serde::Serialize,
{
    // The other side learns it if it still listens; the reason is ours either way.
    let _ = by.within("our refusal to be taken", frames::send(link, frames::encode(&frame))).await;
    refusal.into()
}

/// The end of one handshake, however many steps it takes: who says a byte now and then does not hold a place for longer.
#[derive(Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn set() -> Self {
        Self(Instant::now() + HANDSHAKE_MAX)
    }

    async fn within<T>(self, what: &'static str, step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        timeout_at(self.0, step).await.unwrap_or(Err(Failure::Silent { what, seconds: HANDSHAKE_MAX.as_secs() }))
    }
}

#[cfg(test)]
mod tests;
