//! What is looked at before a database is rewound or thrown away.

use crate::servers::{LONG, Node, as_postgres, upstream};
use actors::model::{Directory, NodeId, Timeline};
use actors::pg::actor::operations::{
    EndOfWal, Failure, basebackup, clone_is_whole, controldata, copy_is_possible, end_of_wal, initdb, inspect_directory, introduce,
    log_goes_on, marker, rewind, spend_clone,
};
use actors::pg::{Cause, Mend, Outlook};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

/// F23: `pg_rewind` would say that it is done, and nobody could log in afterwards.
#[test]
fn a_database_whose_checksums_are_unlike_the_primarys_is_not_rewound() {
    as_postgres("evidence::a_database_whose_checksums_are_unlike_the_primarys_is_not_rewound", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        let promotion = second.promote().await;
        first.psql("CREATE TABLE only_here AS SELECT 1 AS n").await;
        first.stop().await;
        let pg_checksums = one.site.installation.program("pg_checksums");
        let disabled = Command::new(pg_checksums).args(["--disable", "-D"]).arg(one.site.data_dir()).output().unwrap();
        assert!(disabled.status.success(), "{disabled:?}");
        assert!(!controldata(&one.site).await.unwrap().data_checksums);
        let before = one.fingerprint();
        let failure = rewind(&one.site, &upstream(&two, identity, 2, promotion.lsn.0), &|_| {}).await.unwrap_err();
        assert!(failure.outlook() == Outlook::Hopeless && failure.to_string().contains("data checksums"), "{failure}");
        assert_eq!(one.fingerprint(), before, "and nothing was touched");
    });
}

/// What a copy needs is proved before anything is cleared for it, and a refusal changes nothing.
#[test]
fn nothing_is_cleared_for_a_copy_that_would_be_refused() {
    as_postgres("evidence::nothing_is_cleared_for_a_copy_that_would_be_refused", async {
        let (one, mut two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        let from = upstream(&one, identity, 1, 0);
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        // Nothing can be made beside it, so it would be cleared first.
        fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o500)).unwrap();
        let before = two.fingerprint();
        assert_eq!(introduce(&two.site, &one.endpoint(), LONG).await.unwrap(), identity);
        for (breaks, mends, state) in [
            ("ALTER ROLE replicator NOLOGIN", "ALTER ROLE replicator LOGIN", "28000"),
            ("ALTER ROLE replicator NOREPLICATION", "ALTER ROLE replicator REPLICATION", "42501"),
            ("ALTER ROLE replicator VALID UNTIL 'yesterday'", "ALTER ROLE replicator VALID UNTIL 'infinity'", "28P01"),
            ("ALTER ROLE replicator PASSWORD 'another'", "", "28P01"),
        ] {
            first.psql(breaks).await;
            let failure = basebackup(&two.site, &from, &|_| {}).await.unwrap_err();
            let text = failure.to_string();
            assert!(failure.outlook() == Outlook::Barred && text.contains(state), "{breaks}: {text}");
            assert!(copy_is_possible(&two.site, &from).await.is_err());
            assert_eq!((two.fingerprint(), marker(&two.site).await.unwrap()), (before.clone(), None), "{breaks}");
            if !mends.is_empty() {
                first.psql(mends).await;
            }
        }
        two.site.settings.replication_password = Some(actors::pg::Secret::new("another".into()));
        // Only one node at a time gives up what it has.
        let mut holder = tokio::process::Command::new("psql");
        holder.env("PGPASSWORD", one.site.settings.password.as_ref().unwrap().reveal()).args([
            "-XAtq",
            "-h",
            "127.0.0.1",
            "-U",
            "witch",
            "-d",
            "postgres",
            "-p",
        ]);
        holder.arg(one.site.settings.port.to_string());
        holder.args(["-c", "SELECT pg_advisory_lock(6298693524154182767)", "-c", "SELECT pg_sleep(600)"]).kill_on_drop(true);
        let holder = holder.spawn().unwrap();
        crate::servers::eventually("the turn is another's", async || {
            first.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").await == "1"
        })
        .await;
        let failure = basebackup(&two.site, &from, &|_| {}).await.unwrap_err();
        assert!(failure.outlook() == Outlook::Waiting && failure.to_string().contains("another node"), "{failure}");
        assert_eq!(two.fingerprint(), before);
        drop(holder);
        first.psql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'").await;
        crate::servers::eventually("the copy is made", async || basebackup(&two.site, &from, &|_| {}).await.is_ok()).await;
        fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(inspect_directory(&two.site).await, Directory::Database { system_identifier: identity, timeline: Timeline(1) });
    });
}

/// A log on a disk of its own stays there, also where the copy before was broken off.
#[test]
fn a_copy_puts_the_log_where_it_was() {
    as_postgres("evidence::a_copy_puts_the_log_where_it_was", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        first.psql("CREATE TABLE large AS SELECT generate_series(1, 200000) AS n").await;
        let from = upstream(&one, identity, 1, 0);
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        let (inside, elsewhere) = (two.site.data_dir().join("pg_wal"), two.folder.join("log-disk"));
        fs::rename(&inside, &elsewhere).unwrap();
        symlink(&elsewhere, &inside).unwrap();
        // Dropped at its first word.
        let begun = tokio::sync::Notify::new();
        let notify = |_| begun.notify_one();
        tokio::select! {
            _ = basebackup(&two.site, &from, &notify) => panic!("the copy ended before it could be given up"),
            () = begun.notified() => {}
        }
        assert_eq!(inspect_directory(&two.site).await, Directory::Unfinished);
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        assert_eq!(fs::read_link(&inside).unwrap(), elsewhere);
        assert!(fs::read_dir(&elsewhere).unwrap().count() > 0);
        let second = two.start().await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        second.streams_on(Timeline(1)).await;
    });
}

/// Whether the log that a standby needs is gone is asked of the primary; whether its own files are damaged is read from them.
#[test]
fn what_only_a_copy_mends_is_proved() {
    as_postgres("evidence::what_only_a_copy_mends_is_proved", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        // Its end lies within a segment.
        first.psql("CREATE TABLE before AS SELECT 1 AS n").await;
        second.has_received(&first).await;
        second.kill().await;
        let end = end_of_wal(&two.site, LONG).await.unwrap();
        assert!(log_goes_on(&two.site, end, &one.endpoint(), LONG).await.unwrap());
        let needed = first.psql(&format!("SELECT pg_walfile_name('{}')", end.lsn)).await;
        first.psql("SELECT pg_switch_wal()").await;
        first.psql("CREATE TABLE t AS SELECT 1 AS n").await;
        assert!(log_goes_on(&two.site, end, &one.endpoint(), LONG).await.unwrap());
        fs::rename(one.site.data_dir().join("pg_wal").join(&needed), one.folder.join("aside")).unwrap();
        assert!(!log_goes_on(&two.site, end, &one.endpoint(), LONG).await.unwrap());
        let now = first.session().await.observe(LONG).await.unwrap().position;
        let all = EndOfWal { timeline: now.timeline, lsn: now.lsn, clean: false, seen: true };
        assert!(log_goes_on(&two.site, all, &one.endpoint(), LONG).await.unwrap(), "who has everything needs nothing");

        for file in fs::read_dir(two.site.data_dir().join("pg_wal")).unwrap().flatten().filter(|file| file.path().is_file()) {
            fs::write(file.path(), vec![0; 16 << 20]).unwrap();
        }
        let failure = end_of_wal(&two.site, LONG).await.unwrap_err();
        assert!(matches!(failure, Failure::Damaged { .. }) && failure.outlook() == Outlook::Hopeless, "{failure}");
    });
}

/// The account of clones outlives everything, and one that cannot be read allows none.
#[test]
fn clones_are_counted_across_restarts() {
    as_postgres("evidence::clones_are_counted_across_restarts", async {
        let node = Node::new(1);
        let damage = Mend { cause: Cause::Damaged, words: "PANIC:  could not locate a valid checkpoint record".into() };
        for _ in 0..2 {
            spend_clone(&node.site, &damage).await.expect("the one before was broken off");
        }
        clone_is_whole(&node.site, &damage).await.unwrap();
        let refused = spend_clone(&node.site, &damage).await.unwrap_err();
        assert!(refused.outlook() == Outlook::Barred && refused.to_string().contains("valid checkpoint record"), "{refused}");
        let account = node.site.state_dir().join("clones");
        fs::write(&account, "{\"spent\": [").unwrap();
        let twin = Mend { cause: Cause::Twin, words: String::new() };
        assert!(matches!(spend_clone(&node.site, &twin).await, Err(Failure::ClonesSpent(_))));
        spend_clone(&node.site, &Mend { cause: Cause::Bare, words: String::new() }).await.unwrap();
        fs::remove_file(account).unwrap();
        spend_clone(&node.site, &twin).await.unwrap();
    });
}

/// What nobody but a person can mend is said with the way out, and is no reason to throw anything away.
#[test]
fn a_program_that_may_not_read_says_whose_it_is() {
    as_postgres("evidence::a_program_that_may_not_read_says_whose_it_is", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        let closed = one.site.data_dir().join("lost+found");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
        let failure = basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap_err();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let said = failure.to_string();
        assert!(failure.outlook() == Outlook::Barred && said.contains("lost+found") && said.contains("chown"), "{said}");
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        first.stop().await;
    });
}
