//! What is said during the handshake, and how it is put on the wire.

use super::proof::Nonce;
use super::{Failure, Link, Versions};
use crate::model::{Boot, Endpoint, NodeId};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// The dialer's first words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) versions: Versions,
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) boot: Boot,
    pub(super) endpoint: Endpoint,
    pub(super) nonce: Nonce,
}

/// The acceptor's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) version: u16,
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) boot: Boot,
    pub(super) nonce: Nonce,
}

/// The answer to `Hello`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Challenge {
        /// `Terms` as bytes, because the proof is over the very bytes.
        #[serde(with = "serde_bytes")]
        terms: Vec<u8>,
    },
    Refused(Refused),
}

/// The answer to `Challenge`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Claim {
    Proof {
        #[serde(with = "serde_bytes")]
        proof: Vec<u8>,
    },
    Refused(Refused),
}

/// The answer to `Welcome`: the dialer's last word.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Settled {
    Linked,
    Refused(Refused),
}

/// The answer to the dialer's `Proof`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    Welcome {
        #[serde(with = "serde_bytes")]
        proof: Vec<u8>,
    },
    Refused(Refused),
}

/// No, in words. Codes may be added; the text is for whoever does not know them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) text: String,
}

pub(super) fn encode<T: Serialize>(frame: &T) -> Bytes {
    rmp_serde::to_vec_named(frame).expect("the handshake's frames are plain data").into()
}

pub(super) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, Failure> {
    rmp_serde::from_slice(frame).map_err(|error| Failure::foreign(&error.to_string()))
}

pub(super) async fn send<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, frame: Bytes) -> Result<(), Failure> {
    Ok(link.send(frame).await?)
}

pub(super) async fn receive<S: AsyncRead + AsyncWrite + Unpin, T: DeserializeOwned>(link: &mut Link<S>) -> Result<T, Failure> {
    decode(&receive_bytes(link).await?)
}

pub(super) async fn receive_bytes<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<Bytes, Failure> {
    match link.next().await {
        Some(Ok(frame)) => Ok(frame.freeze()),
        // What is too long for a frame is no frame of ours.
        Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(Failure::foreign(&error.to_string())),
        Some(Err(error)) => Err(error.into()),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side closed it").into()),
    }
}
