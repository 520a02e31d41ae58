//! The log of a database is compared with another one, kept and rewound.

use crate::servers::{Bystander, LONG, Node, Server, as_postgres, eventually, upstream};
use actors::model::{NodeId, Position, Promotion, Timeline};
use actors::pg::actor::operations::{
    EndOfWal, basebackup, checkpoint_remote, controldata, end_of_wal, follow, initdb, lineage, marker, note_marks, preserve_diverged,
    relate, rewind, set_standby_signal, upstream_ancestry, write_configuration,
};
use actors::pg::ancestry::Relation;
use std::fs;

/// A standby is cloned, promoted; the old primary, which wrote on, is rewound, and what it wrote is kept.
#[test]
fn a_diverged_primary_is_rewound_and_what_it_wrote_is_kept() {
    as_postgres("returning::a_diverged_primary_is_rewound_and_what_it_wrote_is_kept", async {
        let (mut one, two) = (Node::new(1), Node::new(2));
        one.site.settings.parameters.insert("max_slot_wal_keep_size".into(), "1MB".into());
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        first.psql("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n").await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(1), NodeId(2)].into(), LONG).await.unwrap();

        let seen = std::sync::Mutex::new(Vec::new());
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|progress| seen.lock().unwrap().push(progress)).await.unwrap();
        assert!(seen.lock().unwrap().iter().any(|progress| progress.percent == Some(100)), "{seen:?}");
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        // From the last checkpoint before the fork on, which a rewind has to read, it is more than is kept without need.
        for _ in 0..20 {
            first.psql("SELECT pg_logical_emit_message(false, 'test', 'x')").await;
            first.psql("SELECT pg_switch_wal()").await;
        }
        second.has_received(&first).await;

        // The standby is promoted while the old primary goes on writing: what fencing prevents, and a crash does all the same.
        let end_of_first = second.session().await.observe(LONG).await.unwrap().position;
        let promotion = second.promote().await;
        assert_eq!(promotion.timeline, Timeline(2));
        assert!(promotion.lsn >= end_of_first.lsn, "{promotion:?} {end_of_first:?}");
        first.psql("INSERT INTO kept SELECT generate_series(1, 10000)").await;
        second.psql("CREATE TABLE of_the_second AS SELECT 1 AS n").await;
        first.crash().await;

        let upstream = upstream(&two, identity, 2, promotion.lsn.0);
        let end = end_of_wal(&one.site, LONG).await.unwrap();
        assert!(!end.clean && end.timeline == Timeline(1) && end.lsn > promotion.lsn, "{end:?}");
        let fork = Position { timeline: Timeline(1), lsn: promotion.lsn };
        assert_eq!(relate(&one.site, end, &two.endpoint(), LONG).await.unwrap(), Relation::Diverged { fork });

        let preserved = preserve_diverged(&one.site, fork, end).await.unwrap();
        assert!(preserved.left_out.is_empty() && !preserved.kept.is_empty(), "{preserved:?}");
        for name in &preserved.kept {
            let (kept, original) = (preserved.folder.join(name), one.site.data_dir().join("pg_wal").join(name));
            assert_eq!(fs::read(kept).unwrap(), fs::read(original).unwrap(), "{name}");
        }
        assert!(fs::read_to_string(preserved.folder.join("summary.json")).unwrap().contains(&promotion.lsn.to_string()));
        assert_eq!(preserve_diverged(&one.site, fork, end).await.unwrap().folder, preserved.folder, "kept once");

        let note = |node: &Node| node.site.data_dir().join("witch.marks");
        fs::write(note(&one), "of the branch that is given up").unwrap();
        for (node, whose) in [(&one, "the first"), (&two, "the second")] {
            for name in ["server.crt", "server.key"] {
                fs::write(node.site.data_dir().join(name), format!("{name} of {whose}")).unwrap();
            }
        }
        fs::write(one.site.data_dir().join("only-here"), "").unwrap();
        note_marks(&two.site, &[Promotion { mark: Some(7), ..promotion }]).await.unwrap();
        checkpoint_remote(&one.site, &upstream, LONG).await.unwrap();
        let bystander = Bystander::new();
        bystander.is_named_in_the_lock_of(&one);
        rewind(&one.site, &upstream, &|_| {}).await.unwrap();
        assert_eq!(marker(&one.site).await.unwrap(), None);
        assert_eq!(fs::read(note(&one)).unwrap(), fs::read(note(&two)).unwrap(), "what was noted of the history comes with it");
        assert!(!one.site.data_dir().join("only-here").exists(), "and where nothing was noted, the other branch's note is gone");
        for name in ["server.crt", "server.key"] {
            assert_eq!(
                fs::read_to_string(one.site.data_dir().join(name)).unwrap(),
                format!("{name} of the first"),
                "its host is named in it"
            );
        }
        // It may need the very end of the source's log before it opens.
        second.session().await.ensure_slots(NodeId(2), &[NodeId(1), NodeId(2)].into(), LONG).await.unwrap();
        let first = one.start().await;
        first.streams_on(Timeline(2)).await;
        first.stop().await;
        eventually("the slot is gone", async || {
            second
                .psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'witch_1' AND NOT active")
                .await;
            second.psql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'witch_1'").await == "0"
        })
        .await;
        // Without its slot the upstream turns it away: it connects, calls itself streaming, and does not.
        let first = one.start().await;
        let mut session = first.session().await;
        while first.log_text().matches(r#"replication slot "witch_1" does not exist"#).count() < 5 {
            let seen = session.observe(LONG).await.unwrap();
            assert!(!seen.receiver.is_some_and(|receiver| receiver.streaming));
        }
        second.session().await.ensure_slots(NodeId(2), &[NodeId(1), NodeId(2)].into(), LONG).await.unwrap();
        first.streams_on(Timeline(2)).await;
        first.has_received(&second).await;
        eventually("the rewound node has replayed", async || first.psql("SELECT count(*) FROM kept").await == "1000").await;
        assert_eq!(first.psql("SHOW primary_slot_name").await, "witch_1");
    });
}

/// D4: the end of the old primary's log, computed from its files, is what its standby has received, to the byte.
#[test]
fn the_end_of_a_clean_log_is_what_the_standby_has_received() {
    as_postgres("returning::the_end_of_a_clean_log_is_what_the_standby_has_received", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let mut first = one.start().await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        for node in [&one, &two] {
            make_segments_in_advance(node);
        }
        // Several rounds, with records of many sizes, so that some final record lies across the end of a page.
        for round in 0..6 {
            let bytes = 1000 + round * 1337;
            first.psql(&format!("SELECT pg_logical_emit_message(false, 'test', repeat('x', {bytes}))")).await;
            first.psql("SELECT pg_switch_wal()").await;
            first.session().await.checkpoint(LONG).await.unwrap();
            first.stop().await;
            let end = end_of_wal(&one.site, LONG).await.unwrap();
            assert!(end.clean && end.timeline == Timeline(1), "{end:?}");
            let received = second.session().await.observe(LONG).await.unwrap().position;
            assert_eq!(end.lsn, received.lsn);
            first = one.start().await;
            second.streams_on(Timeline(1)).await;
        }
        // A standby that is stopped knows its own end: nothing it has received lies past it, and all that it has replayed before.
        first.psql("SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))").await;
        second.has_received(&first).await;
        first.stop().await;
        let received = second.session().await.observe(LONG).await.unwrap().position;
        second.stop().await;
        let end = end_of_wal(&two.site, LONG).await.unwrap();
        assert_eq!(Position { timeline: end.timeline, lsn: end.lsn }, received);
        assert!(!end.clean);
    });
}

/// As PostgreSQL does: files of the log that hold nothing yet. So many, that the first one in the folder is hardly ever another.
fn make_segments_in_advance(node: &Node) {
    let folder = node.site.data_dir().join("pg_wal");
    for number in 100..200 {
        let segment = fs::File::create_new(folder.join(format!("0000000100000000000000{number:02X}"))).unwrap();
        segment.set_len(16 << 20).unwrap();
    }
}

/// A standby that was stopped before the promotion of another is a prefix of it: it starts and streams, without rewind or clone.
#[test]
fn a_standby_that_missed_a_promotion_is_a_prefix_and_just_streams() {
    as_postgres("returning::a_standby_that_missed_a_promotion_is_a_prefix_and_just_streams", async {
        let nodes = [Node::new(1), Node::new(2), Node::new(3)];
        let all = [NodeId(1), NodeId(2), NodeId(3)].into();
        let identity = initdb(&nodes[0].site).await.unwrap();
        let first = nodes[0].start().await;
        first.session().await.ensure_slots(NodeId(1), &all, LONG).await.unwrap();
        let mut standbys = Vec::new();
        for node in &nodes[1..] {
            basebackup(&node.site, &upstream(&nodes[0], identity, 1, 0), &|_| {}).await.unwrap();
            let standby = node.start().await;
            standby.streams_on(Timeline(1)).await;
            standby.session().await.ensure_slots(node.site.settings.node, &all, LONG).await.unwrap();
            standbys.push(standby);
        }
        let third = standbys.pop().unwrap();
        let second = standbys.pop().unwrap();
        third.has_received(&first).await;
        third.stop().await;
        first.psql("CREATE TABLE t AS SELECT 1 AS n").await;
        second.has_received(&first).await;
        // The slots of a standby move along with it.
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE restart_lsn = pg_last_wal_replay_lsn()";
        first.stop().await;
        eventually("the slots are where replay is", async || {
            second.session().await.ensure_slots(NodeId(2), &all, LONG).await.unwrap();
            second.psql(slots).await == "2"
        })
        .await;
        let promotion = second.promote().await;

        let end = end_of_wal(&nodes[2].site, LONG).await.unwrap();
        let theirs = upstream_ancestry(&nodes[2].site, &nodes[1].endpoint(), LONG).await.unwrap();
        assert_eq!(theirs.began_at(), promotion.lsn);
        assert_eq!(relate(&nodes[2].site, end, &nodes[1].endpoint(), LONG).await.unwrap(), Relation::Prefix);
        let end = end_of_wal(&nodes[0].site, LONG).await.unwrap();
        assert_eq!(
            relate(&nodes[0].site, end, &nodes[1].endpoint(), LONG).await.unwrap(),
            Relation::Prefix,
            "a clean stop loses nothing: {end:?}"
        );

        // One is configured before it starts, the other is pointed elsewhere while it runs.
        write_configuration(&nodes[0].site, Some(&nodes[1].endpoint())).await.unwrap();
        set_standby_signal(&nodes[0].site, true).await.unwrap();
        let first = nodes[0].start().await;
        first.streams_on(Timeline(2)).await;
        let third = nodes[2].start().await;
        follow(&nodes[2].site, third.pid(), Some(&nodes[1].endpoint())).await.unwrap();
        // It may have streamed from the first, which it was to follow before, until it was told.
        eventually("the third streams from the second", async || {
            let receiver = third.session().await.observe(LONG).await.unwrap().receiver;
            receiver.is_some_and(|it| it.streaming && it.timeline == Timeline(2) && it.upstream == Some(nodes[1].endpoint()))
        })
        .await;
        // A node that is no member any more loses its slot and its connection.
        eventually("the stranger's connection is ended", async || {
            second.session().await.terminate_foreign_walsenders(&[NodeId(1), NodeId(2)].into(), LONG).await.unwrap() == 1
        })
        .await;
        third.stop().await;
        eventually("the stranger's slot is gone", async || {
            second.session().await.ensure_slots(NodeId(2), &[NodeId(1), NodeId(2)].into(), LONG).await.unwrap();
            second.psql("SELECT string_agg(slot_name, ',') FROM pg_replication_slots").await == "witch_1"
        })
        .await;
    });
}

/// Two standbys are promoted at the same position: both call their timeline 2, and their histories are equal to the letter.
#[test]
fn two_timelines_with_one_number_are_told_apart_by_their_log() {
    as_postgres("returning::two_timelines_with_one_number_are_told_apart_by_their_log", async {
        let nodes = [Node::new(1), Node::new(2), Node::new(3)];
        let all = [NodeId(1), NodeId(2), NodeId(3)].into();
        let identity = initdb(&nodes[0].site).await.unwrap();
        let first = nodes[0].start().await;
        first.session().await.ensure_slots(NodeId(1), &all, LONG).await.unwrap();
        let mut standbys = Vec::new();
        for node in &nodes[1..] {
            basebackup(&node.site, &upstream(&nodes[0], identity, 1, 0), &|_| {}).await.unwrap();
            let standby = node.start().await;
            standby.streams_on(Timeline(1)).await;
            standbys.push(standby);
        }
        let (third, second) = (standbys.pop().unwrap(), standbys.pop().unwrap());
        first.psql("CREATE TABLE t AS SELECT 1 AS n").await;
        for standby in [&second, &third] {
            standby.has_received(&first).await;
        }
        first.stop().await;
        let ours = second.promote().await;
        let theirs = third.promote().await;
        assert_eq!((ours, ours.timeline), (theirs, Timeline(2)), "the histories show no difference");
        second.psql("INSERT INTO t VALUES (2)").await;
        third.psql("INSERT INTO t SELECT generate_series(1, 10000)").await;
        let history = async |node: &Node, server: &Server| {
            let position = server.session().await.observe(LONG).await.unwrap().position;
            lineage(&node.site, controldata(&node.site).await.unwrap().geometry(), position).await.unwrap()
        };
        let mark = async |node: &Node, server: &Server| {
            let history = history(node, server).await;
            let [began, promoted] = history.as_slice() else { panic!("two timelines: {history:?}") };
            assert_eq!((began.timeline, began.mark, promoted.timeline, promoted.lsn), (Timeline(1), None, Timeline(2), ours.lsn));
            promoted.mark
        };
        let marks = (mark(&nodes[1], &second).await, mark(&nodes[2], &third).await);
        assert!(marks.0.is_some() && marks.1.is_some() && marks.0 != marks.1, "their first records do: {marks:?}");
        for (node, server) in [(&nodes[1], &second), (&nodes[2], &third)] {
            note_marks(&node.site, &history(node, server).await).await.unwrap();
        }
        let note = |node: &Node| node.site.data_dir().join("witch.marks");
        second.crash().await;

        let end = end_of_wal(&nodes[1].site, LONG).await.unwrap();
        let fork = Position { timeline: Timeline(1), lsn: ours.lsn };
        assert_eq!(relate(&nodes[1].site, end, &nodes[2].endpoint(), LONG).await.unwrap(), Relation::Twin { fork });

        // The old primary follows the third, whose timeline 2 it really shares; soon the beginning of that is recycled.
        third.session().await.ensure_slots(NodeId(3), &all, LONG).await.unwrap();
        write_configuration(&nodes[0].site, Some(&nodes[2].endpoint())).await.unwrap();
        set_standby_signal(&nodes[0].site, true).await.unwrap();
        let first = nodes[0].start().await;
        first.streams_on(Timeline(2)).await;
        let position = first.session().await.observe(LONG).await.unwrap().position;
        let running = EndOfWal { timeline: position.timeline, lsn: position.lsn, clean: false, seen: true };
        assert_eq!(relate(&nodes[0].site, running, &nodes[2].endpoint(), LONG).await.unwrap(), Relation::Prefix);
        first.has_received(&third).await;
        assert_eq!(mark(&nodes[0], &first).await, marks.1, "it is the same for whoever has the timeline");
        let begins_in = third.psql(&format!("SELECT pg_walfile_name('{}')", ours.lsn)).await;
        third.psql("SELECT pg_switch_wal()").await;
        third.psql("INSERT INTO t VALUES (3)").await;
        first.has_received(&third).await;
        fs::rename(nodes[0].site.data_dir().join("pg_wal").join(&begins_in), nodes[0].site.data_dir().join("aside")).unwrap();
        assert_eq!(mark(&nodes[0], &first).await, None, "what is recycled cannot be read");
        fs::copy(note(&nodes[2]), note(&nodes[0])).unwrap();
        assert_eq!(mark(&nodes[0], &first).await, marks.1, "but it was noted");
        fs::rename(nodes[0].site.data_dir().join("aside"), nodes[0].site.data_dir().join("pg_wal").join(&begins_in)).unwrap();

        fs::copy(note(&nodes[1]), note(&nodes[0])).unwrap();
        assert_eq!(mark(&nodes[0], &first).await, marks.1, "the log counts more than what was noted of the twin");
        // A copy begins with a later segment.
        basebackup(&nodes[1].site, &upstream(&nodes[2], identity, 2, ours.lsn.0), &|_| {}).await.unwrap();
        assert!(!nodes[1].site.data_dir().join("pg_wal").join(&begins_in).exists(), "the test shows nothing if it has the beginning");
        let second = nodes[1].start().await;
        second.streams_on(Timeline(2)).await;
        assert_eq!(mark(&nodes[1], &second).await, marks.1, "a copy knows of which branch it is");
        fs::write(note(&nodes[1]), b"[{\xff").unwrap();
        assert_eq!(mark(&nodes[1], &second).await, None, "half a note is none");
        note_marks(&nodes[1].site, &[Promotion { timeline: Timeline(2), lsn: ours.lsn, mark: marks.1 }]).await.unwrap();
        assert_eq!(mark(&nodes[1], &second).await, marks.1, "and is written anew");
        second.stop().await;
        first.stop().await;
        let end = end_of_wal(&nodes[0].site, LONG).await.unwrap();
        assert_eq!(end.timeline, Timeline(2));
        assert_eq!(relate(&nodes[0].site, end, &nodes[2].endpoint(), LONG).await.unwrap(), Relation::Prefix);
        fs::remove_file(nodes[0].site.data_dir().join("pg_wal").join(begins_in)).unwrap();
        assert_eq!(relate(&nodes[0].site, end, &nodes[2].endpoint(), LONG).await.unwrap(), Relation::Prefix, "the end proves it as well");
    });
}
