//! Two histories on one timeline: what PostgreSQL takes for a copy of the primary and is none.

use crate::servers::{LONG, Node, Server, as_postgres, upstream};
use actors::model::{NodeId, Timeline};
use actors::pg::actor::operations::{EndOfWal, basebackup, end_of_wal, initdb, relate, set_standby_signal, write_configuration};
use actors::pg::ancestry::Relation;
use std::process::Command;

/// A primary, and a standby that streams from it.
async fn pair() -> ([Node; 2], Server, Server) {
    let nodes = [Node::new(1), Node::new(2)];
    let identity = initdb(&nodes[0].site).await.unwrap();
    let first = nodes[0].start().await;
    first.session().await.ensure_slots(NodeId(1), &[NodeId(1), NodeId(2)].into(), LONG).await.unwrap();
    basebackup(&nodes[1].site, &upstream(&nodes[0], identity, 1, 0), &|_| {}).await.unwrap();
    let second = nodes[1].start().await;
    second.streams_on(Timeline(1)).await;
    first.psql("CREATE TABLE t AS SELECT 1 AS n").await;
    second.has_received(&first).await;
    (nodes, first, second)
}

/// How the stopped database relates to the primary's.
async fn stopped(node: &Node, primary: &Node) -> Relation {
    let end = end_of_wal(&node.site, LONG).await.unwrap();
    relate(&node.site, end, &primary.endpoint(), LONG).await.unwrap()
}

/// How the running standby does.
async fn running(node: &Node, server: &Server, primary: &Node) -> Relation {
    let position = server.session().await.observe(LONG).await.unwrap().position;
    let end = EndOfWal { timeline: position.timeline, lsn: position.lsn, clean: false, seen: true };
    relate(&node.site, end, &primary.endpoint(), LONG).await.unwrap()
}

fn is_twin(relation: Relation) -> bool {
    matches!(relation, Relation::Twin { fork } if fork.timeline == Timeline(1))
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// It is started once as if it were nobody's standby, writes, and is a standby again.
#[test]
fn a_standby_that_wrote_without_its_signal_file_is_no_prefix() {
    as_postgres("copies::a_standby_that_wrote_without_its_signal_file_is_no_prefix", async {
        let (nodes, first, second) = pair().await;
        assert_eq!(running(&nodes[1], &second, &nodes[0]).await, Relation::Prefix);
        second.stop().await;
        assert_eq!(stopped(&nodes[1], &nodes[0]).await, Relation::Prefix, "an honest one is none, be it as short as it may");
        // Segments that are empty to their ends prove nothing.
        first.psql("SELECT pg_switch_wal()").await;
        first.psql("INSERT INTO t VALUES (2)").await;
        assert_eq!(stopped(&nodes[1], &nodes[0]).await, Relation::Prefix, "the primary goes on alone");

        set_standby_signal(&nodes[1].site, false).await.unwrap();
        let alone = nodes[1].start().await;
        alone.psql("INSERT INTO t SELECT generate_series(1, 100000)").await;
        alone.stop().await;
        set_standby_signal(&nodes[1].site, true).await.unwrap();
        assert!(is_twin(stopped(&nodes[1], &nodes[0]).await), "it has more than the primary");

        first.psql("INSERT INTO t SELECT generate_series(1, 300000)").await;
        assert!(is_twin(stopped(&nodes[1], &nodes[0]).await), "the primary has more, and something else");
        // A standby of nobody, so that nothing of what it has is written over.
        write_configuration(&nodes[1].site, None).await.unwrap();
        let second = nodes[1].start().await;
        assert!(is_twin(running(&nodes[1], &second, &nodes[0]).await));
        second.stop().await;
        assert!(is_twin(stopped(&nodes[1], &nodes[0]).await), "a clean stop as a standby hides nothing");
    });
}

/// The primary's directory is put back from a copy of its disk, while its standby has what came after.
#[test]
fn a_standby_of_a_primary_that_was_put_back_is_no_prefix() {
    as_postgres("copies::a_standby_of_a_primary_that_was_put_back_is_no_prefix", async {
        let (nodes, first, second) = pair().await;
        let (data, aside) = (nodes[0].site.data_dir(), nodes[0].folder.join("aside"));
        first.stop().await;
        copy(&data, &aside);
        let first = nodes[0].start().await;
        second.streams_on(Timeline(1)).await;
        first.psql("INSERT INTO t SELECT generate_series(1, 1000)").await;
        second.has_received(&first).await;
        assert_eq!(running(&nodes[1], &second, &nodes[0]).await, Relation::Prefix);
        first.stop().await;
        copy(&aside, &data);
        let first = nodes[0].start().await;
        let found = running(&nodes[1], &second, &nodes[0]).await;
        assert!(is_twin(found), "it has what its primary has lost: {found:?}");
        second.stop().await;
        assert!(is_twin(stopped(&nodes[1], &nodes[0]).await));
        drop(first);
    });
}

/// On the way to a later timeline, too: the copy parted from the primary before that began, and ends before or after it.
#[test]
fn a_copy_that_parted_before_a_promotion_is_not_rewound_to_it() {
    as_postgres("copies::a_copy_that_parted_before_a_promotion_is_not_rewound_to_it", async {
        let (nodes, first, second) = pair().await;
        first.stop().await;
        // Written here is something that the other, which is promoted a little later, never had.
        let first = nodes[0].start().await;
        second.streams_on(Timeline(1)).await;
        second.has_received(&first).await;
        write_configuration(&nodes[1].site, None).await.unwrap();
        second.stop().await;
        first.psql("INSERT INTO t SELECT generate_series(1, 1000)").await;
        set_standby_signal(&nodes[1].site, false).await.unwrap();
        let alone = nodes[1].start().await;
        alone.psql("INSERT INTO t SELECT generate_series(1, 100)").await;
        alone.stop().await;
        set_standby_signal(&nodes[1].site, true).await.unwrap();
        let second = nodes[1].start().await;
        let promotion = second.promote().await;
        assert_eq!(promotion.timeline, Timeline(2));
        first.psql("INSERT INTO t SELECT generate_series(1, 100000)").await;
        first.stop().await;
        let end = end_of_wal(&nodes[0].site, LONG).await.unwrap();
        assert!(end.lsn > promotion.lsn, "the numbers alone would say that it diverged there: {end:?}");
        assert!(is_twin(stopped(&nodes[0], &nodes[1]).await));
    });
}
