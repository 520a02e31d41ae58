//! Two nodes with one id, strangers, and wrong tokens, at the door of a node that has a good link.

use super::super::super::handshake::dial;
use super::*;

/// Dials node 1, and says in words how that went.
async fn knock(port: u16, dialer: Local) -> Result<impl Sized, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    dial(stream, &dialer, NodeId(1), |_| Ok(())).await.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn a_second_node_with_one_id_is_refused_while_the_first_is_alive_and_only_then() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    one.linked(2).await;
    two.linked(1).await;
    let twin = || local(2, 99, 7999);
    let words = knock(p1, twin()).await.err().expect("the twin is refused");
    let both = format!("two nodes have cluster.node_id = 2: one at 127.0.0.1:{p2}, which is linked and alive, and one at 127.0.0.1:7999");
    assert!(words.contains(&both), "{words}");
    assert!(two.links.send(NodeId(1), &note(5)));
    assert_eq!(one.note(2).await, 5, "the first one is not disturbed");
    drop(two);
    let admitted = timeout(PATIENCE, async {
        while knock(p1, twin()).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    admitted.await.expect("once the first is gone, it is no twin any more");
}

#[tokio::test]
async fn strangers_and_wrong_tokens_are_refused_in_words_and_disturb_nobody() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    let mut two = Node::start(local(2, 22, p2), l2, &[member(1, p1)]);
    two.linked(1).await;
    let cases = [
        (local(9, 99, 7999), "node 9 is neither a member of the cluster nor in [[peers]]"),
        (Local { token: Token::new("guess"), ..local(2, 22, p2) }, "do not have the same token"),
        (Local { cluster: "test".to_owned(), ..local(2, 22, p2) }, "belongs to the cluster \"prod\" and the dialer to \"test\""),
        (local(1, 99, 7999), "both nodes have cluster.node_id = 1"),
    ];
    for (dialer, text) in cases {
        let words = knock(p1, dialer).await.err().expect("refused");
        assert!(words.contains(text), "{words}");
    }
    assert!(two.links.send(NodeId(1), &note(5)));
    assert_eq!(one.note(2).await, 5);
}

#[tokio::test]
async fn a_node_that_dials_the_wrong_address_never_takes_it_for_the_right_node() {
    let ((l1, p1), (l2, p2)) = (listen().await, listen().await);
    let mut one = Node::start(local(1, 11, p1), l1, &[member(2, p2)]);
    // The file of two has one's address for three, and knows one as well.
    let mut two = Node::start(local(2, 22, p2), l2, &[member(3, p1), member(1, p1)]);
    let first = two.hears("any link", |input| if let Input::Linked { node } = input { Some(node) } else { None }).await;
    assert_eq!(first, NodeId(1));
    one.linked(2).await;
    assert!(!two.links.send(NodeId(3), &note(1)));
}
