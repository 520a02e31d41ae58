//! Every way to be refused, in the words of both sides, over an in-memory connection; the clock is virtual.

use super::*;
use std::fmt::Debug;
use tokio::io::{DuplexStream, duplex};

fn local(node: u64, boot: u64) -> Local {
    Local {
        cluster: "prod".to_owned(),
        node: NodeId(node),
        boot: Boot(boot),
        endpoint: Endpoint { host: "10.0.0.1".to_owned(), port: 7000 },
        token: Token::new("secret"),
    }
}

type Outcome<T> = Result<T, Failure>;

/// The words of the acceptor and of the dialer.
async fn shake(
    acceptor: Local,
    dialer: Local,
    expected: u64,
    admit: impl FnOnce(&Peer) -> Result<(), Refusal>,
) -> (Outcome<Peer>, Outcome<Peer>) {
    let (here, there) = duplex(64 << 10);
    let accepting = async { accept(here, &acceptor, admit).await.map(|(_, peer, ())| peer) };
    let dialling = async { dial(there, &dialer, NodeId(expected), |peer| Ok(peer.clone())).await.map(|(_, peer)| peer) };
    tokio::join!(accepting, dialling)
}

fn words<T: Debug>(outcome: Outcome<T>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn two_nodes_of_one_cluster_get_to_know_each_other() {
    let (accepted, dialled) = shake(local(1, 11), local(2, 22), 1, |_| Ok(())).await;
    let endpoint = Some(Endpoint { host: "10.0.0.1".to_owned(), port: 7000 });
    assert_eq!(accepted.unwrap(), Peer { node: NodeId(2), boot: Boot(22), endpoint, version: VERSIONS.max });
    assert_eq!(dialled.unwrap(), Peer { node: NodeId(1), boot: Boot(11), endpoint: None, version: VERSIONS.max });
}

#[tokio::test]
async fn an_empty_token_on_both_sides_is_a_token() {
    let bare = |node| Local { token: Token::default(), ..local(node, node) };
    let (accepted, dialled) = shake(bare(1), bare(2), 1, |_| Ok(())).await;
    assert!(accepted.is_ok() && dialled.is_ok());
}

#[tokio::test]
async fn each_refusal_says_the_same_words_on_both_sides() {
    let good = || (local(1, 11), local(2, 22));
    let (acceptor, dialer) = good();
    let cases = [
        (acceptor, Local { cluster: "test".to_owned(), ..dialer }, 1, "belongs to the cluster \"prod\" and the dialer to \"test\""),
        (local(1, 11), Local { token: Token::new("other"), ..local(2, 22) }, 1, "do not have the same token"),
        (local(1, 11), Local { token: Token::default(), ..local(2, 22) }, 1, "do not have the same token"),
        (local(1, 11), local(1, 22), 3, "both nodes have cluster.node_id = 1: give one of them another"),
        (local(1, 11), local(1, 11), 3, "a node reached itself"),
        (local(1, 11), local(2, 22), 3, "the address of node 3 is answered by node 1: correct [[peers]]"),
    ];
    for (acceptor, dialer, expected, text) in cases {
        let (accepted, dialled) = shake(acceptor, dialer, expected, |_| Ok(())).await;
        let (accepted, dialled) = (words(accepted), words(dialled));
        assert!(accepted.contains(text), "the acceptor says: {accepted}");
        assert!(dialled.contains(text), "the dialer says: {dialled}");
        let refused_us = [&accepted, &dialled].iter().filter(|words| words.starts_with("it refused us: ")).count();
        assert_eq!(refused_us, 1, "one side refuses, the other hears it: {accepted} / {dialled}");
    }
}

#[tokio::test]
async fn the_word_of_whoever_admits_is_heard_on_both_sides() {
    let stranger = |peer: &Peer| Err(Refusal::Stranger { node: peer.node });
    let (accepted, dialled) = shake(local(1, 11), local(2, 22), 1, stranger).await;
    for words in [words(accepted), words(dialled)] {
        assert!(words.contains("node 2 is neither a member of the cluster nor in [[peers]]"), "{words}");
    }
}

#[tokio::test]
async fn nobody_is_admitted_who_did_not_prove_the_token() {
    let (mut here, there) = duplex(64 << 10);
    let acceptor = local(1, 11);
    let accepting = accept(there, &acceptor, |_| -> Result<(), Refusal> { panic!("admitted without a proof") });
    let impostor = async {
        here.write_all(&MAGIC).await.unwrap();
        let mut link = framed(here);
        let Local { cluster, node, boot, endpoint, .. } = local(2, 22);
        let hello = Hello { versions: VERSIONS, cluster, node, boot, endpoint, nonce: Nonce::draw().unwrap() };
        frames::send(&mut link, frames::encode(&hello)).await.unwrap();
        let Answer::Challenge { terms } = frames::receive(&mut link).await.unwrap() else { panic!("no challenge") };
        // The proof of one who has the words of both and no token.
        let proof = Transcript { hello: &frames::encode(&hello), terms: &terms }.prove(&Token::default(), Side::Dialer);
        frames::send(&mut link, frames::encode(&Claim::Proof { proof })).await.unwrap();
        let Verdict::Refused(refused) = frames::receive(&mut link).await.unwrap() else { panic!("welcome") };
        refused.code
    };
    let (accepted, code) = tokio::join!(accepting, impostor);
    assert!(words(accepted.map(|_| ())).contains("do not have the same token"));
    assert_eq!(code, "token");
}

#[tokio::test]
async fn versions_without_overlap_are_named() {
    let (mut here, there) = duplex(64 << 10);
    let acceptor = local(1, 11);
    let newer = Versions { min: 7, max: 9 };
    let dialling = async {
        here.write_all(&MAGIC).await.unwrap();
        let mut link = framed(here);
        let Local { cluster, node, boot, endpoint, .. } = local(2, 22);
        let hello = Hello { versions: newer, cluster, node, boot, endpoint, nonce: Nonce::draw().unwrap() };
        frames::send(&mut link, frames::encode(&hello)).await.unwrap();
        let Answer::Refused(refused) = frames::receive(&mut link).await.unwrap() else { panic!("not refused") };
        refused.text
    };
    let (accepted, heard) = tokio::join!(accept(there, &acceptor, |_| Ok(())), dialling);
    for words in [words(accepted.map(|_| ())), heard] {
        assert!(words.contains("the versions 4-4 of the peer protocol and the dialer 7-9"), "{words}");
    }
}

#[test]
fn the_newest_common_version_is_chosen() {
    let versions = |min, max| Versions { min, max };
    assert_eq!(versions(1, 3).common(versions(2, 5)), Some(3));
    assert_eq!(versions(2, 5).common(versions(1, 3)), Some(3));
    assert_eq!(versions(1, 3).common(versions(4, 5)), None);
    assert_eq!(versions(4, 5).common(versions(1, 3)), None);
}

#[tokio::test]
async fn a_hello_with_fields_of_a_later_version_is_still_read() {
    #[derive(serde::Serialize)]
    struct Later {
        colour: &'static str,
        #[serde(flatten)]
        hello: Hello,
    }
    let Local { cluster, node, boot, endpoint, .. } = local(2, 22);
    let hello = Hello { versions: VERSIONS, cluster, node, boot, endpoint, nonce: Nonce::draw().unwrap() };
    let said = frames::encode(&Later { colour: "blue", hello });
    assert_eq!(frames::decode::<Hello>(&said).unwrap().node, NodeId(2));
}

async fn accept_bytes(bytes: &[u8]) -> String {
    let (mut here, there): (DuplexStream, _) = duplex(64 << 10);
    here.write_all(bytes).await.unwrap();
    let words = words(accept(there, &local(1, 11), |_| Ok(())).await.map(|_| ()));
    drop(here);
    words
}

#[tokio::test(start_paused = true)]
async fn what_is_no_witch_is_told_so() {
    let http = accept_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(http.contains("does not speak witch's peer protocol (its first bytes are \"GET / HT\")"), "{http}");
    let oversized = accept_bytes(b"WITCH\0\0\x01\x00\x02\x00\x00rest").await;
    assert!(oversized.contains("does not speak witch's peer protocol (frame size too big)"), "{oversized}");
    let garbage = accept_bytes(b"WITCH\0\0\x01\x00\x00\x00\x03\xc1\xc1\xc1").await;
    assert!(garbage.contains("does not speak witch's peer protocol"), "{garbage}");
}

#[tokio::test(start_paused = true)]
async fn the_whole_handshake_has_one_deadline() {
    for bytes in [b"".as_slice(), b"WITCH", b"WITCH\0\0\x01", b"WITCH\0\0\x01\x00\x00\x00\x09abc"] {
        let silent = accept_bytes(bytes).await;
        assert!(silent.starts_with("the handshake took longer than 2 s, and still waited for its "), "{silent}");
    }
    let (here, there) = duplex(64 << 10);
    let dialled = dial(there, &local(1, 11), NodeId(2), |_| Ok(())).await;
    assert!(words(dialled.map(|_| ())).contains("still waited for its challenge"));
    drop(here);
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_buys_no_time() {
    let (mut here, there) = duplex(64 << 10);
    let dripping = async {
        for byte in MAGIC.iter().chain(&[0, 0, 1, 0]).chain(&[7; 256]) {
            if here.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let since = Instant::now();
    let acceptor = local(1, 11);
    let accepting = accept(there, &acceptor, |_| Ok(()));
    tokio::select! {
        accepted = accepting => assert!(words(accepted.map(|_| ())).contains("longer than 2 s")),
        () = dripping => panic!("it was listened to until it had nothing more to say"),
    }
    assert!(since.elapsed() < Duration::from_millis(2100), "{:?}", since.elapsed());
}

/// What an acceptor says to somebody who only claims to be a node: nothing that depends on the token.
#[tokio::test]
async fn who_only_connects_gets_no_proof_to_guess_the_token_by() {
    let (mut here, there) = duplex(64 << 10);
    let acceptor = local(1, 11);
    let collecting = async {
        here.write_all(&MAGIC).await.unwrap();
        let mut link = framed(here);
        let Local { cluster, node, boot, endpoint, .. } = local(2, 22);
        let hello = Hello { versions: VERSIONS, cluster, node, boot, endpoint, nonce: Nonce::draw().unwrap() };
        let said = frames::encode(&hello);
        frames::send(&mut link, said.clone()).await.unwrap();
        let challenge = frames::receive_bytes(&mut link).await.unwrap();
        let Answer::Challenge { terms } = frames::decode(&challenge).unwrap() else { panic!("no challenge") };
        let transcript = Transcript { hello: &said, terms: &terms };
        for side in [Side::Acceptor, Side::Dialer] {
            let proof = transcript.prove(&acceptor.token, side);
            assert!(!challenge.windows(proof.len()).any(|part| part == proof), "the challenge holds a proof");
        }
        frames::send(&mut link, frames::encode(&Claim::Proof { proof: vec![0; 32] })).await.unwrap();
        let Verdict::Refused(refused) = frames::receive(&mut link).await.unwrap() else { panic!("welcome") };
        refused.code
    };
    let (_, code) = tokio::join!(accept(there, &acceptor, |_| Ok(())), collecting);
    assert_eq!(code, "token");
}

/// An impostor at a peer's address, who takes every proof for good.
#[tokio::test]
async fn who_cannot_prove_the_token_is_not_admitted_by_the_dialer() {
    let (here, there) = duplex(64 << 10);
    let dialer = local(2, 22);
    let impostor = async {
        let mut here = here;
        here.read_exact(&mut [0; 8]).await.unwrap();
        let mut link = framed(here);
        let _: Hello = frames::receive(&mut link).await.unwrap();
        let Local { cluster, node, boot, .. } = local(1, 11);
        let terms = frames::encode(&Terms { version: VERSIONS.max, cluster, node, boot, nonce: Nonce::draw().unwrap() });
        frames::send(&mut link, frames::encode(&Answer::Challenge { terms: terms.to_vec() })).await.unwrap();
        let Claim::Proof { proof } = frames::receive(&mut link).await.unwrap() else { panic!("no proof") };
        // The dialer's own proof, sent back to it.
        frames::send(&mut link, frames::encode(&Verdict::Welcome { proof })).await.unwrap();
        let Settled::Refused(refused) = frames::receive(&mut link).await.unwrap() else { panic!("linked") };
        refused.code
    };
    let dialling = dial(there, &dialer, NodeId(1), |_| -> Result<(), Refusal> { panic!("admitted without a proof") });
    let (dialled, code) = tokio::join!(dialling, impostor);
    assert!(words(dialled.map(|_| ())).contains("do not have the same token"));
    assert_eq!(code, "token");
}

#[tokio::test]
async fn what_a_stranger_says_in_its_hello_is_short_and_plain_in_the_log() {
    let hello = |cluster: String| {
        let Local { node, boot, endpoint, .. } = local(2, 22);
        Hello { versions: VERSIONS, cluster, node, boot, endpoint, nonce: Nonce::draw().unwrap() }
    };
    let framed = |frame: &[u8]| [&MAGIC[..], &u32::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat();
    let long = accept_bytes(&framed(&frames::encode(&hello("\u{1b}".repeat(60_000))))).await;
    assert!(long.contains("the cluster's name has 60000 bytes") && long.len() < 300, "{long}");
    let odd = accept_bytes(&framed(&frames::encode(&hello("a\nb\u{202e}\u{2028}c".into())))).await;
    assert!(!odd.chars().any(crate::printable::is_obeyed), "{odd:?}");
    // An enum's variant of one's own naming, which serde quotes.
    #[derive(serde::Serialize)]
    enum Answer {
        #[serde(rename = "x\n2026-01-01 00:00:00 ERROR forged\u{202e}")]
        Forged,
    }
    let (mut here, there) = duplex(64 << 10);
    here.write_all(&framed(&rmp_serde::to_vec_named(&Answer::Forged).unwrap())[8..]).await.unwrap();
    let forged = words(dial(there, &local(1, 11), NodeId(2), |_| Ok(())).await.map(|_| ()));
    assert!(forged.contains("forged") && !forged.chars().any(crate::printable::is_obeyed), "{forged:?}");
}

#[tokio::test]
async fn a_dialer_tells_a_foreign_server_from_a_witch() {
    let (mut here, there) = duplex(64 << 10);
    here.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let dialled = dial(there, &local(1, 11), NodeId(2), |_| Ok(())).await;
    let text = words(dialled.map(|_| ()));
    assert!(text.contains("does not speak witch's peer protocol") && text.contains("is the port right?"), "{text}");
}

#[test]
fn words_from_outside_cannot_write_lines_of_their_own() {
    let refused = frames::Refused { code: "x\n".repeat(50), text: format!("\x1b[31mred\nline{}", "y".repeat(2000)) };
    let failure = Failure::from(refused);
    assert_eq!(failure.code(), "refused", "a code of its own making is no reason of its own to be logged");
    let Failure::Refused { code, text } = failure else { panic!("another failure") };
    assert!(code.len() == 32 && text.len() == 600 && text.starts_with("?[31mred?line"), "{code} {text}");
}
