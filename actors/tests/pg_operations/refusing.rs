//! What cannot be used or does not answer is named.

use crate::servers::{Bystander, LONG, Node, as_postgres, eventually};
use actors::model::{Directory, Lsn, Timeline};
use actors::pg::actor::operations::{
    Answer, Installation, Whom, adopt, create, end_of_wal, foreign_server, initdb, inspect_directory, installed, probe_fresh,
    set_standby_signal, startup_faults,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// What PostgreSQL would refuse is said before it does, with the command that helps.
#[test]
fn a_directory_that_cannot_be_used_says_why_and_what_to_do() {
    as_postgres("refusing::a_directory_that_cannot_be_used_says_why_and_what_to_do", async {
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
    as_postgres("refusing::a_hung_server_misses_and_a_stranger_is_named", async {
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

/// Programs that a package manager replaced are known at once, and those of another major version are never used.
#[test]
fn programs_that_were_replaced_are_noticed() {
    as_postgres("refusing::programs_that_were_replaced_are_noticed", async {
        let mut node = Node::new(1);
        initdb(&node.site).await.unwrap();
        let folder = node.folder.join("programs");
        fs::create_dir(&folder).unwrap();
        for program in ["postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_waldump"] {
            std::os::unix::fs::symlink(node.site.installation.program(program), folder.join(program)).unwrap();
        }
        node.site.installation = Installation::discover(Some(&folder)).await.unwrap();
        let before = installed(&node.site).await.unwrap();
        assert_eq!(before.version(), node.site.installation.version());
        let install = |says: &str| {
            let next = folder.join("next");
            fs::write(&next, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {says}'\n")).unwrap();
            fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(next, folder.join("postgres")).unwrap();
        };
        let major = before.major();
        install(&format!("{major}.99"));
        let minor = installed(&node.site).await.unwrap();
        assert_eq!(minor.version(), format!("{major}.99"));
        assert_ne!(minor.stamp(), before.stamp());
        install("99.1");
        let error = installed(&node.site).await.unwrap_err().to_string();
        assert!(error.contains("99.1") && error.contains(&format!("of version {major}")), "{error}");
        fs::remove_file(folder.join("pg_rewind")).unwrap();
        let error = installed(&node.site).await.unwrap_err().to_string();
        assert!(error.contains("has no pg_rewind"), "{error}");
    });
}
