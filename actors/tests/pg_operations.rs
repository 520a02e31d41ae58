//! The operations on real PostgreSQL servers.
//!
//! PostgreSQL refuses to run as root, so as root each test runs itself again as the user `postgres`. Here the tests start and stop the
//! servers; in production the guard does. `WITCH_TEST_BIN_DIR` names the programs of another version.
#![cfg(feature = "shell")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/ports.rs"]
mod ports;
#[path = "pg_operations/servers.rs"]
mod servers;
#[path = "pg_operations/settings.rs"]
mod settings;
#[path = "pg_operations/shared_memory.rs"]
mod shared_memory;

use actors::model::{Directory, Lsn, NodeId, Position, Promotion, SystemIdentifier, Timeline};
use actors::pg::actor::operations::{
    Answer, EndOfWal, Failure, Marker, Unfinished, Whom, adopt, basebackup, checkpoint_remote, controldata, create, discard_previous,
    end_of_wal, follow, foreign_server, initdb, inspect_directory, lineage, marker, note_marks, preserve_diverged, probe_fresh, relate,
    remove_discarded, rewind, set_standby_signal, startup_faults, upstream_ancestry, write_configuration,
};
use actors::pg::ancestry::Relation;
use nix::fcntl::{Flock, FlockArg};
use servers::{Bystander, LONG, Node, Server, as_postgres, eventually, upstream};
use shared_memory::SharedMemory;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;
use tokio::time::timeout;

/// A database is born with its roles, and only with their passwords does it let anybody in.
#[test]
fn a_new_database_has_its_roles_and_lets_nobody_else_in() {
    as_postgres("a_new_database_has_its_roles_and_lets_nobody_else_in", async {
        let node = Node::new(1);
        assert_eq!(inspect_directory(&node.site).await, Directory::Empty);
        // While a program of an earlier daemon is at work in the directory, nobody else is.
        let lock = fs::File::create(node.site.state_dir().join("operation.lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        let mut founding = Box::pin(initdb(&node.site));
        assert!(timeout(Duration::from_millis(500), &mut founding).await.is_err());
        assert_eq!(inspect_directory(&node.site).await, Directory::Empty);
        drop(lock);
        let identity = founding.await.unwrap();
        assert_eq!(inspect_directory(&node.site).await, Directory::Database { system_identifier: identity, timeline: Timeline(1) });
        assert_eq!(marker(&node.site).await.unwrap(), None);
        assert!(matches!(initdb(&node.site).await, Err(Failure::Directory { .. })), "a database is never made anew");
        let log = fs::read_to_string(node.site.state_dir().join("pgpass")).unwrap();
        assert!(log.contains(r"*:*:*:witch:it's \\ a \: secret"), "{log}");

        let server = node.start().await;
        let endpoint = node.endpoint();
        assert_eq!(probe_fresh(&node.site, Whom::Remote(&endpoint), LONG).await, Answer::Ok);
        let mut burglar = node.site.clone();
        burglar.settings.password = Some(actors::pg::Secret::new("guess".into()));
        assert_eq!(probe_fresh(&burglar, Whom::Remote(&endpoint), LONG).await, Answer::Sql("28P01".into()));
        assert_eq!(server.psql("SELECT rolsuper, rolreplication FROM pg_roles WHERE rolname = 'replicator'").await, "f|t");
        assert_eq!(server.psql("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'").await, "2");
        assert_eq!(server.psql("SHOW data_checksums").await, "on");
        assert_eq!(server.psql("SHOW server_encoding").await, "UTF8");
        assert_eq!(server.psql("SHOW cluster_name").await, "it's a cluster");
        assert_eq!(server.psql("SHOW work_mem").await, "5MB", "from the user's parameters");
        server.stop().await;
        // Adoption of the same database is a repetition.
        assert_eq!(adopt(&node.site).await.unwrap(), identity);
    });
}

/// A standby is cloned, promoted; the old primary, which wrote on, is rewound, and what it wrote is kept.
#[test]
fn a_diverged_primary_is_rewound_and_what_it_wrote_is_kept() {
    as_postgres("a_diverged_primary_is_rewound_and_what_it_wrote_is_kept", async {
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
        let promotion = second.session().await.promote(&two.site, LONG).await.unwrap();
        assert_eq!(promotion.timeline, Timeline(2));
        assert!(promotion.lsn >= end_of_first.lsn, "{promotion:?} {end_of_first:?}");
        assert_eq!(second.session().await.promote(&two.site, LONG).await.unwrap(), promotion, "promoting twice answers the same");
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
        fs::write(one.site.data_dir().join("only-here"), "").unwrap();
        note_marks(&two.site, &[Promotion { mark: Some(7), ..promotion }]).await.unwrap();
        checkpoint_remote(&one.site, &upstream, LONG).await.unwrap();
        let bystander = Bystander::new();
        bystander.is_named_in_the_lock_of(&one);
        rewind(&one.site, &upstream, &|_| {}).await.unwrap();
        assert_eq!(marker(&one.site).await.unwrap(), None);
        assert_eq!(fs::read(note(&one)).unwrap(), fs::read(note(&two)).unwrap(), "what was noted of the history comes with it");
        assert!(!one.site.data_dir().join("only-here").exists(), "and where nothing was noted, the other branch's note is gone");
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
    as_postgres("the_end_of_a_clean_log_is_what_the_standby_has_received", async {
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
    as_postgres("a_standby_that_missed_a_promotion_is_a_prefix_and_just_streams", async {
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
        let promotion = second.session().await.promote(&nodes[1].site, LONG).await.unwrap();

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
        follow(&nodes[2].site, &mut third.session().await, &nodes[1].endpoint(), LONG).await.unwrap();
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
    as_postgres("two_timelines_with_one_number_are_told_apart_by_their_log", async {
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
        let ours = second.session().await.promote(&nodes[1].site, LONG).await.unwrap();
        let theirs = third.session().await.promote(&nodes[2].site, LONG).await.unwrap();
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
        let running = EndOfWal { timeline: position.timeline, lsn: position.lsn, clean: false };
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

/// A clone that was not finished is known by its marker and made anew; one that replaces a database keeps that one until it streams.
#[test]
fn a_half_clone_is_made_anew_and_a_whole_database_is_kept_until_then() {
    as_postgres("a_half_clone_is_made_anew_and_a_whole_database_is_kept_until_then", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        first.psql("CREATE TABLE large AS SELECT generate_series(1, 500000) AS n").await;
        let from = upstream(&one, identity, 1, 0);

        // The copy is dropped at its first word, as if the operation had been given up.
        let begun = tokio::sync::Notify::new();
        let notify = |_| begun.notify_one();
        tokio::select! {
            _ = basebackup(&two.site, &from, &notify) => panic!("the copy ended before it could be given up"),
            () = begun.notified() => {}
        }
        assert!(matches!(marker(&two.site).await.unwrap().unwrap(), Marker::Of(note) if note.what == Unfinished::Clone));
        assert_eq!(inspect_directory(&two.site).await, Directory::Unfinished);
        fs::write(two.site.data_dir().join("left-over"), "x").unwrap();
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        assert!(!two.site.data_dir().join("left-over").exists());
        assert_eq!(inspect_directory(&two.site).await, Directory::Database { system_identifier: identity, timeline: Timeline(1) });

        fs::write(two.site.data_dir().join("of-the-old"), "x").unwrap();
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        let previous = two.folder.join("data.witch-previous");
        assert!(previous.join("of-the-old").exists() && !two.site.data_dir().join("of-the-old").exists());
        let discarded = two.folder.join("data.witch-discarded");
        // Nothing is put away under another operation's hands.
        let lock = fs::File::open(two.site.state_dir().join("operation.lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        discard_previous(&two.site).await.unwrap();
        assert!(previous.exists() && !discarded.exists());
        drop(lock);
        discard_previous(&two.site).await.unwrap();
        assert!(!previous.exists() && discarded.join("previous/of-the-old").exists());
        remove_discarded(&two.site).await.unwrap();
        assert!(!discarded.exists());

        // Where nothing can be made beside it, the directory itself stays: it may be a mount point.
        fs::write(two.site.data_dir().join("of-the-old"), "x").unwrap();
        let number = || fs::metadata(two.site.data_dir()).unwrap().ino();
        let before = number();
        fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o500)).unwrap();
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(number() == before && !two.site.data_dir().join("of-the-old").exists());
        assert_eq!(marker(&two.site).await.unwrap(), None);
        let second = two.start().await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        second.streams_on(Timeline(1)).await;
    });
}

/// What a killed server leaves in memory is released when its directory is replaced, since nobody starts it again.
#[test]
fn a_replaced_database_leaves_no_shared_memory() {
    as_postgres("a_replaced_database_leaves_no_shared_memory", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        let from = upstream(&one, identity, 1, 0);
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        let second = two.start().await;
        let memory = SharedMemory::of(second.pid());
        assert!(memory.segments() > 0 && memory.files() > 0);
        second.kill().await;
        eventually("all its processes are gone", async || memory.is_detached()).await;
        let bystander = Bystander::new();
        bystander.is_named_in_the_lock_of(&two);
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        assert_eq!((memory.segments(), memory.files()), (0, 0));
        drop(first);
    });
}

/// S11: another cluster's database is reported, and not a byte of it changes.
#[test]
fn a_database_of_another_cluster_is_refused_and_untouched() {
    as_postgres("a_database_of_another_cluster_is_refused_and_untouched", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let other = initdb(&two.site).await.unwrap();
        let _first = one.start().await;
        let from = upstream(&one, identity, 1, 0);
        let before = two.fingerprint();
        let cloned = basebackup(&two.site, &from, &|_| {}).await;
        let rewound = rewind(&two.site, &from, &|_| {}).await;
        for refused in [cloned, rewound] {
            assert!(
                matches!(&refused, Err(Failure::OtherDatabase { found, expected, .. }) if *found == other && *expected == identity),
                "{refused:?}"
            );
        }
        // Nor is the right directory filled from the wrong server.
        let three = Node::new(3);
        let mut wrong = from.clone();
        wrong.system_identifier = SystemIdentifier(7);
        let refused = basebackup(&three.site, &wrong, &|_| {}).await;
        assert!(matches!(refused, Err(Failure::OtherDatabase { .. })), "{refused:?}");
        assert_eq!(inspect_directory(&three.site).await, Directory::Empty);
        assert_eq!(two.fingerprint(), before);
    });
}

/// The marker of a half clone says nothing of a directory that it was never about, and nothing is cleared on its word.
#[test]
fn a_marker_is_about_one_directory_and_no_other_is_cleared_for_it() {
    as_postgres("a_marker_is_about_one_directory_and_no_other_is_cleared_for_it", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let other = initdb(&two.site).await.unwrap();
        let _first = one.start().await;
        let from = upstream(&one, identity, 1, 0);
        // A clone into an empty directory is broken off; then the settings are turned to a directory with a database.
        let begun = tokio::sync::Notify::new();
        let notify = |_| begun.notify_one();
        let mut elsewhere = two.site.clone();
        elsewhere.settings.data_dir = two.folder.join("elsewhere").to_string_lossy().into_owned();
        tokio::select! {
            _ = basebackup(&elsewhere, &from, &notify) => panic!("the copy ended before it could be given up"),
            () = begun.notified() => {}
        }
        assert_eq!(inspect_directory(&elsewhere).await, Directory::Unfinished);
        let before = two.fingerprint();
        let Directory::Unusable { reason } = inspect_directory(&two.site).await else { panic!("the marker is not about this one") };
        assert!(reason.contains("elsewhere") && reason.contains("remove"), "{reason}");
        assert!(basebackup(&two.site, &from, &|_| {}).await.is_err());
        assert_eq!(two.fingerprint(), before);
        // Even in the directory that it is about, another cluster's database is nothing to clear (S11).
        for entry in fs::read_dir(elsewhere.data_dir()).unwrap().flatten() {
            let removed = if entry.path().is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.unwrap();
        }
        fs::create_dir(elsewhere.data_dir().join("global")).unwrap();
        fs::copy(two.site.data_dir().join("global/pg_control"), elsewhere.data_dir().join("global/pg_control")).unwrap();
        assert_eq!(inspect_directory(&elsewhere).await, Directory::Unfinished);
        let refused = basebackup(&elsewhere, &from, &|_| {}).await;
        assert!(matches!(&refused, Err(Failure::OtherDatabase { found, .. }) if *found == other), "{refused:?}");
        assert!(elsewhere.data_dir().join("global/pg_control").exists());
    });
}

/// What PostgreSQL would refuse is said before it does, with the command that helps.
#[test]
fn a_directory_that_cannot_be_used_says_why_and_what_to_do() {
    as_postgres("a_directory_that_cannot_be_used_says_why_and_what_to_do", async {
        let node = Node::new(1);
        let reason = async || match inspect_directory(&node.site).await {
            Directory::Unusable { reason } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(startup_faults(&node.site), Vec::<String>::new(), "a directory that can be made is no fault");
        create(&node.site).await.unwrap();
        assert_eq!(startup_faults(&node.site), Vec::<String>::new());
        let data_dir = node.site.data_dir();
        fs::write(data_dir.join("letter.txt"), "x").unwrap();
        assert!(reason().await.contains("no readable global/pg_control"));
        fs::remove_file(data_dir.join("letter.txt")).unwrap();
        initdb(&node.site).await.unwrap();
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(reason().await.contains(&format!("chmod 0700 {}", data_dir.display())));
        fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(inspect_directory(&node.site).await, Directory::Database { .. }));
        fs::write(data_dir.join("PG_VERSION"), "12\n").unwrap();
        assert!(reason().await.contains("made by PostgreSQL 12"));
        let mut foreign = node.site.clone();
        foreign.settings.data_dir = "/etc".into();
        let Directory::Unusable { reason } = inspect_directory(&foreign).await else { panic!("/etc is not ours") };
        assert!(reason.contains("belongs to root") && reason.contains("chown -R"), "{reason}");
        assert_eq!(startup_faults(&foreign), [format!("postgres.data_dir: {reason}")]);
        foreign.settings.data_dir = "/etc/of-witch".into();
        let faults = startup_faults(&foreign);
        assert!(faults.concat().contains("install -d -m 0700 -o postgres /etc/of-witch"), "{faults:?}");
        // A standby of somebody is not founded upon.
        fs::write(data_dir.join("PG_VERSION"), format!("{}\n", node.site.installation.major())).unwrap();
        set_standby_signal(&node.site, true).await.unwrap();
        let refused = adopt(&node.site).await.unwrap_err().to_string();
        assert!(refused.contains("standby of another server"), "{refused}");
    });
}

/// A hung server is a miss and a refusing one is not; a server that nobody of Witch's started is a stranger.
#[test]
fn a_hung_server_misses_and_a_stranger_is_named() {
    as_postgres("a_hung_server_misses_and_a_stranger_is_named", async {
        let node = Node::new(1);
        initdb(&node.site).await.unwrap();
        assert!(matches!(probe_fresh(&node.site, Whom::Local, LONG).await, Answer::Miss(_)));
        assert_eq!(foreign_server(&node.site, None).await, None);
        let server = node.start().await;
        assert_eq!(probe_fresh(&node.site, Whom::Local, LONG).await, Answer::Ok);
        let mut session = server.session().await;
        assert_eq!(foreign_server(&node.site, Some(server.pid())).await, None);
        let stranger = foreign_server(&node.site, None).await.unwrap();
        assert!(stranger.pid == server.pid() && stranger.advice.contains("stop"), "{stranger:?}");

        server.freeze();
        let answer = probe_fresh(&node.site, Whom::Local, Duration::from_millis(300)).await;
        assert!(matches!(answer, Answer::Miss(_)), "{answer:?}");
        server.thaw();
        eventually("it answers again", async || probe_fresh(&node.site, Whom::Local, LONG).await == Answer::Ok).await;
        assert_eq!(session.observe(LONG).await.unwrap().position.timeline, Timeline(1), "the old connection lived through it");
        server.crash().await;
        assert!(session.observe(LONG).await.is_err());
        assert!(session.is_closed());
        assert_eq!(foreign_server(&node.site, None).await, None, "the file that the crash left is nobody's");
        let end = end_of_wal(&node.site, LONG).await.unwrap();
        assert!(end.lsn > Lsn(0) && !end.clean);
        // A crashed database is recovered by its adoption, also if its server's number belongs to another process by now.
        let bystander = Bystander::new();
        bystander.is_named_in_the_lock_of(&node);
        adopt(&node.site).await.unwrap();
        assert!(end_of_wal(&node.site, LONG).await.unwrap().clean);
    });
}
