//! A database is copied, and what it replaces is kept until then.

use crate::servers::{Bystander, LONG, Node, as_postgres, eventually, upstream};
use crate::shared_memory::SharedMemory;
use actors::model::{Directory, NodeId, SystemIdentifier, Timeline};
use actors::pg::actor::operations::{
    Failure, Marker, Unfinished, basebackup, discard_previous, initdb, inspect_directory, marker, remove_discarded, rewind,
};
use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// A clone that was not finished is known by its marker and made anew; one that replaces a database keeps that one until it streams.
#[test]
fn a_half_clone_is_made_anew_and_a_whole_database_is_kept_until_then() {
    as_postgres("cloning::a_half_clone_is_made_anew_and_a_whole_database_is_kept_until_then", async {
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
        for (node, whose) in [(&one, "the first"), (&two, "the second")] {
            for name in ["server.crt", "server.key"] {
                fs::write(node.site.data_dir().join(name), format!("{name} of {whose}")).unwrap();
            }
        }
        let keeps_its_key = || {
            let text = |name: &str| fs::read_to_string(two.site.data_dir().join(name)).unwrap();
            assert_eq!((text("server.crt"), text("server.key")), ("server.crt of the second".into(), "server.key of the second".into()));
            assert!(!two.site.state_dir().join("own-files").exists(), "it is back in its place");
        };
        basebackup(&two.site, &from, &|_| {}).await.unwrap();
        keeps_its_key();
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
        keeps_its_key();
        assert_eq!(marker(&two.site).await.unwrap(), None);
        let second = two.start().await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        second.streams_on(Timeline(1)).await;
    });
}

/// A backup that runs as a member of the server's group reads the copy as it read the primary.
#[test]
fn what_the_group_may_read_of_a_primary_it_may_read_of_its_copy() {
    as_postgres("cloning::what_the_group_may_read_of_a_primary_it_may_read_of_its_copy", async {
        let (mut one, two) = (Node::new(1), Node::new(2));
        one.site.settings.initdb.push("--allow-group-access".into());
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        let from = upstream(&one, identity, 1, 0);
        let mode = |node: &Node, name: &str| fs::metadata(node.site.data_dir().join(name)).unwrap().permissions().mode() & 0o777;
        for copy in ["into nothing", "beside the old one", "in its place"] {
            if copy == "in its place" {
                fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o500)).unwrap();
            }
            basebackup(&two.site, &from, &|_| {}).await.unwrap();
            fs::set_permissions(&two.folder, fs::Permissions::from_mode(0o700)).unwrap();
            for (name, expected) in [("", 0o750), ("base", 0o750), ("PG_VERSION", 0o640), ("postgresql.conf", 0o640), ("witch.conf", 0o640)]
            {
                assert_eq!((mode(&one, name), mode(&two, name)), (expected, expected), "{copy}: {name}");
            }
        }
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        assert_eq!(second.psql("SHOW data_directory_mode").await, "0750");
    });
}

/// What a killed server leaves in memory is released when its directory is replaced, since nobody starts it again.
#[test]
fn a_replaced_database_leaves_no_shared_memory() {
    as_postgres("cloning::a_replaced_database_leaves_no_shared_memory", async {
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
    as_postgres("cloning::a_database_of_another_cluster_is_refused_and_untouched", async {
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
    as_postgres("cloning::a_marker_is_about_one_directory_and_no_other_is_cleared_for_it", async {
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
