//! The settings with which servers are started.

use crate::servers::{LONG, Node, as_postgres, upstream};
use actors::model::{NodeId, Timeline};
use actors::pg::actor::operations::{basebackup, faults_of_files, initdb, reload, standby_arguments, write_configuration};
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

/// What a manager before left behind neither hangs commits, delays a standby, nor hides: it is overridden, and named when it is taken out.
#[test]
fn leftovers_that_would_hurt_are_overridden_and_named() {
    as_postgres("settings::leftovers_that_would_hurt_are_overridden_and_named", async {
        let node = Node::new(1);
        initdb(&node.site).await.unwrap();
        let data_dir = node.site.data_dir();
        let conf = data_dir.join("postgresql.conf");
        let text = fs::read_to_string(&conf).unwrap();
        let lines = "synchronous_standby_names = '*'\nrecovery_min_apply_delay = '1h'\nhot_standby = off\nrecovery_target_xid = '9'\n";
        fs::write(&conf, format!("{text}{lines}")).unwrap();
        fs::write(data_dir.join("postgresql.auto.conf"), "synchronous_standby_names = 'gone'\nmax_replication_slots = '33'\n").unwrap();
        fs::write(data_dir.join("recovery.conf"), "standby_mode = on\n").unwrap();
        let taken_back = write_configuration(&node.site, None).await.unwrap().join("\n");
        assert!(taken_back.contains("synchronous_standby_names = 'gone'") && taken_back.contains("recovery.conf"), "{taken_back}");
        let server = node.start().await;
        server.psql("CREATE TABLE t (n int)").await;
        assert_eq!(server.psql("SHOW synchronous_standby_names").await, "", "a commit waits for nobody");
        assert_eq!(server.psql("SHOW recovery_min_apply_delay").await, "0");
        assert_eq!(server.psql("SHOW hot_standby").await, "on");
        assert_eq!(server.psql("SHOW max_replication_slots").await, "33", "the user may have more");
        server.stop().await;
    });
}

/// A configuration tool writes its own files: Witch's line comes back, what the tool set is kept, and it is said.
#[test]
fn files_that_somebody_rewrites_are_mended() {
    as_postgres("settings::files_that_somebody_rewrites_are_mended", async {
        let node = Node::new(1);
        initdb(&node.site).await.unwrap();
        assert_eq!(write_configuration(&node.site, None).await.unwrap(), Vec::<String>::new(), "nothing is to be said of a second time");
        let at = |name: &str| node.site.data_dir().join(name);
        fs::write(at("postgresql.conf"), "log_min_duration_statement = '3s'\n").unwrap();
        fs::write(at("pg_hba.conf"), "local all all trust\n").unwrap();
        let mended = write_configuration(&node.site, None).await.unwrap().join("\n");
        assert!(mended.contains("witch.conf") && mended.contains("pg_hba.conf"), "{mended}");
        assert_eq!(
            fs::read_to_string(at("postgresql.conf")).unwrap(),
            "log_min_duration_statement = '3s'\ninclude_if_exists = 'witch.conf'\n"
        );
        assert_eq!(fs::read_to_string(at("pg_hba.conf.replaced")).unwrap(), "local all all trust\n");
        // A link leads to the file that the tool keeps.
        let kept = node.folder.join("kept.conf");
        fs::write(&kept, "log_min_duration_statement = '4s'\n").unwrap();
        fs::remove_file(at("postgresql.conf")).unwrap();
        std::os::unix::fs::symlink(&kept, at("postgresql.conf")).unwrap();
        write_configuration(&node.site, None).await.unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "log_min_duration_statement = '4s'\n", "it is not touched");
        let server = node.start().await;
        assert_eq!(server.psql("SHOW log_min_duration_statement").await, "4s");
        assert_eq!(server.psql("SHOW wal_sender_timeout").await, "10s");
        server.stop().await;
    });
}

/// Local programs find the server where they always did; a folder of theirs that is missing keeps it from nothing.
#[test]
fn the_users_socket_folders_stand_beside_witchs_own() {
    as_postgres("settings::the_users_socket_folders_stand_beside_witchs_own", async {
        let mut node = Node::new(1);
        let (first, second) = (node.folder.join("run one"), node.folder.join("run two"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        let list = format!("\"{}\", {}, /nowhere/at/all", first.display(), second.display());
        node.site.settings.parameters.insert("unix_socket_directories".into(), list);
        assert_eq!(node.site.settings.faults(), Vec::<String>::new());
        initdb(&node.site).await.unwrap();
        let server = node.start().await;
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
        let own = node.site.settings.socket_dir().unwrap();
        for folder in [own, &first.to_string_lossy(), &second.to_string_lossy()] {
            let mut psql = std::process::Command::new("psql");
            psql.args(["-XAtq", "-d", "postgres", "-U", &user, "-c", "SELECT 1"]).env("PGHOST", folder);
            let output = psql.env("PGPORT", node.site.settings.port.to_string()).output().unwrap();
            assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
        }
        // After a crash the lock files there are stale, and still the server's own.
        server.kill().await;
        actors::pg::actor::operations::remove_stale_locks(&node.site).await.unwrap();
        assert!(!first.join(format!(".s.PGSQL.{}.lock", node.site.settings.port)).exists());
        node.start().await.stop().await;
    });
}

/// A server goes on with what it has read before a file was spoilt, and would not start again.
#[test]
fn faults_of_files_that_a_start_would_find_are_known_before() {
    as_postgres("settings::faults_of_files_that_a_start_would_find_are_known_before", async {
        let node = Node::new(1);
        initdb(&node.site).await.unwrap();
        let server = node.start().await;
        let (conf, hba) = (node.site.data_dir().join("postgresql.conf"), node.site.data_dir().join("pg_hba.conf"));
        let before = [fs::read_to_string(&conf).unwrap(), fs::read_to_string(&hba).unwrap()];
        let faults = async || faults_of_files(&mut server.session().await, LONG).await.unwrap();
        assert_eq!(faults().await, [""; 0]);
        // What only waits for a restart, or says something of the catalogue, or is a remark, is no fault.
        fs::write(&conf, before[0].clone() + "max_connections = 57\nhuge_pages = off\ndefault_tablespace = 'none_yet'\n").unwrap();
        fs::write(&hba, before[1].clone() + "hostssl all all 192.0.2.0/24 scram-sha-256\n").unwrap();
        for _ in 0..2 {
            assert_eq!(faults().await, [""; 0]);
            reload(&node.site, server.pid()).await.unwrap();
        }
        for (line, what) in [
            ("work_mem = 'much'", "work_mem"),
            ("no_such_setting = 1", "no_such_setting"),
            ("work_mem = '4MB", "syntax error"),
            ("include 'none.conf'", "none.conf"),
        ] {
            fs::write(&conf, format!("{}{line}\n", before[0])).unwrap();
            let found = faults().await.join("; ");
            assert!(found.contains(what) && found.contains("postgresql.conf"), "{line}: {found}");
        }
        fs::write(&conf, &before[0]).unwrap();
        for line in ["host all all all scram", "host all all 192.0.2.300/32 md5", "hosts all all all md5"] {
            fs::write(&hba, format!("{}{line}\n", before[1])).unwrap();
            let found = faults().await.join("; ");
            assert!(found.contains("pg_hba.conf:"), "{line}: {found}");
        }
        server.stop().await;
    });
}
