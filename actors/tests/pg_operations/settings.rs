//! The settings with which servers are started.

use crate::servers::{LONG, Node, as_postgres, upstream};
use actors::model::{NodeId, Timeline};
use actors::pg::actor::operations::{basebackup, initdb, standby_arguments, write_configuration};
use std::fs;

/// What an operator or a copied file says of settings that Witch owns does not count.
#[test]
fn settings_that_witch_owns_are_not_shadowed() {
    as_postgres("settings::settings_that_witch_owns_are_not_shadowed", async {
        let node = Node::new(1);
        initdb(&node.site).await.unwrap();
        let server = node.start().await;
        server.psql("ALTER SYSTEM SET primary_conninfo = 'host=elsewhere'").await;
        server.psql("ALTER SYSTEM SET wal_keep_size = '1MB'").await;
        server.psql("ALTER SYSTEM SET recovery_target_time = '2000-01-01'").await;
        server.psql("ALTER SYSTEM SET listen_addresses = '0.0.0.0'").await;
        server.psql("ALTER SYSTEM SET statement_timeout = '9s'").await;
        server.stop().await;
        let conf = node.site.data_dir().join("postgresql.conf");
        // PostgreSQL takes any bytes in a comment.
        let mut text = fs::read(&conf).unwrap();
        text.extend(b"\nwal_sender_timeout = '1h' # f\xfcr immer\nrecovery_target_lsn = '0/1'\n");
        fs::write(&conf, text).unwrap();
        write_configuration(&node.site, None).await.unwrap();
        let kept = fs::read(&conf).unwrap();
        assert!(kept.windows(9).any(|bytes| bytes == b"f\xfcr immer"), "what stands in a comment stays");
        let auto = fs::read_to_string(node.site.data_dir().join("postgresql.auto.conf")).unwrap();
        assert!(auto.contains("statement_timeout") && !auto.contains("primary_conninfo") && !auto.contains("recovery_target"), "{auto}");
        let server = node.start().await;
        assert_eq!(server.psql("SHOW primary_conninfo").await, "");
        assert_eq!(server.psql("SHOW recovery_target_lsn").await, "", "as a standby it would stop there");
        assert_eq!(server.psql("SHOW wal_keep_size").await, "256MB");
        assert_eq!(server.psql("SHOW wal_sender_timeout").await, "10s", "the include is the last line");
        assert_eq!(server.psql("SHOW listen_addresses").await, "127.0.0.1");
        assert_eq!(server.psql("SHOW statement_timeout").await, "9s", "what Witch does not own stays the operator's");
    });
}

/// A standby with less room than its primary has would not start, and a copy would not help. A raise begins at the standbys.
#[test]
fn a_standby_has_room_for_what_its_primary_allows() {
    as_postgres("settings::a_standby_has_room_for_what_its_primary_allows", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let configure = |node: &Node, line: &str| {
            let conf = node.site.data_dir().join("postgresql.conf");
            let text = fs::read_to_string(&conf).unwrap();
            fs::write(&conf, format!("{text}\n{line}\n")).unwrap();
        };
        configure(&one, "max_connections = 40\nmax_prepared_transactions = 7");
        let first = one.start().await;
        first.session().await.ensure_slots(NodeId(1), &[NodeId(2)].into(), LONG).await.unwrap();
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        configure(&two, "max_connections = 30\nmax_prepared_transactions = 9");
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        assert_eq!(second.psql("SHOW max_connections").await, "40", "at least the primary's");
        assert_eq!(second.psql("SHOW max_prepared_transactions").await, "9", "more, if the operator wants it");
        second.stop().await;
        configure(&two, "max_connections = many");
        let error = standby_arguments(&two.site).await.unwrap_err().to_string();
        assert!(error.contains("max_connections") && error.contains("postgresql.conf"), "{error}");
    });
}
