//! A database is made.

use crate::servers::{LONG, Node, as_postgres};
use actors::model::{Directory, Timeline};
use actors::pg::actor::operations::{Answer, Failure, Whom, adopt, initdb, inspect_directory, marker, probe_fresh};
use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::time::Duration;
use tokio::time::timeout;

/// A database is born with its roles, and only with their passwords does it let anybody in.
#[test]
fn a_new_database_has_its_roles_and_lets_nobody_else_in() {
    as_postgres("founding::a_new_database_has_its_roles_and_lets_nobody_else_in", async {
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
        let passfile = fs::read_to_string(node.site.state_dir().join("pgpass")).unwrap();
        assert_eq!(passfile, "*:*:*:replicator:an\"other\n", "the superuser's password stays where it is");

        let server = node.start().await;
        let endpoint = node.endpoint();
        assert_eq!(probe_fresh(&node.site, Whom::Remote(&endpoint), LONG).await, Answer::Ok);
        let mut burglar = node.site.clone();
        burglar.settings.password = Some(actors::pg::Secret::new("guess".into()));
        // Over the network, where there is no socket for the folder's owner.
        burglar.settings.data_dir = format!("/{}", "long".repeat(30));
        burglar.settings.state_dir.clone_from(&burglar.settings.data_dir);
        assert_eq!(probe_fresh(&burglar, Whom::Local, LONG).await, Answer::Sql("28P01".into()));
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
