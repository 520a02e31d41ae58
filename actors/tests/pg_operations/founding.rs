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

/// A database as Debian runs it, whose configuration lies elsewhere, keeps its settings, its lines of `pg_hba.conf`, and the log that its slot
/// needs.
#[test]
fn an_adopted_database_keeps_what_it_had() {
    as_postgres("founding::an_adopted_database_keeps_what_it_had", async {
        let node = Node::new(1);
        let data_dir = node.site.data_dir();
        let etc = node.folder.join("etc");
        fs::create_dir_all(etc.join("conf.d")).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = std::process::Command::new(node.site.installation.program(program)).args(arguments).output().unwrap();
            assert!(
                output.status.success(),
                "{program}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let data = data_dir.to_string_lossy().into_owned();
        run("initdb", &["-D", &data, "-U", "postgres", "--auth=trust", "--no-sync"]);
        for file in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
            fs::rename(data_dir.join(file), etc.join(file)).unwrap();
        }
        let shown = etc.display();
        let conf = etc.join("postgresql.conf");
        let (port, socket) = (node.site.settings.port, node.folder.display());
        let mut text = fs::read_to_string(&conf).unwrap();
        text += &format!(
            "data_directory = '{data}'\nhba_file = '{shown}/pg_hba.conf'\nident_file = '{shown}/pg_ident.conf'\nport = {port}\n\
             unix_socket_directories = '{socket}'\nlog_line_prefix = '%m ''[%p]'' '\ninclude_dir = 'conf.d'\n"
        );
        fs::write(&conf, text).unwrap();
        fs::write(etc.join("conf.d/app.conf"), "log_min_duration_statement = '7s'\n").unwrap();
        let lines = "local all all trust\nhostssl all all 0.0.0.0/0 scram-sha-256\nhost all reader ::1/128 md5\n";
        fs::write(etc.join("pg_hba.conf"), lines).unwrap();
        let options = format!("-c config_file={} -c wal_level=logical -c max_replication_slots=40", conf.display());
        let log = node.folder.join("before.log").to_string_lossy().into_owned();
        run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        let psql = |sql: &str| {
            let mut psql = std::process::Command::new("psql");
            psql.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-c", sql]);
            let output = psql.env("PGHOST", &node.folder).env("PGPORT", port.to_string()).output().unwrap();
            assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        };
        psql("CREATE TABLE t (n int)");
        psql("SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')");
        // What an audit does to roles that nobody has used.
        psql("CREATE ROLE witch NOLOGIN VALID UNTIL '2001-01-01'");
        psql("CREATE ROLE replicator LOGIN VALID UNTIL '2001-01-01'");
        run("pg_ctl", &["-D", &data, "-w", "stop"]);

        adopt(&node.site).await.unwrap();
        let again = fs::read(data_dir.join("postgresql.conf")).unwrap();
        adopt(&node.site).await.unwrap();
        assert_eq!(fs::read(data_dir.join("postgresql.conf")).unwrap(), again, "carried out twice, it changes nothing");
        let server = node.start().await;
        for (name, value) in [
            ("log_min_duration_statement", "7s"),
            ("log_line_prefix", "%m '[%p]'"),
            ("wal_level", "logical"),
            ("max_replication_slots", "40"),
            ("max_slot_wal_keep_size", "-1"),
            ("wal_sender_timeout", "10s"),
        ] {
            assert_eq!(server.psql(&format!("SHOW {name}")).await, value, "{name}");
        }
        assert_eq!(server.psql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'cdc'").await, "1");
        let expired = "SELECT count(*) FROM pg_authid WHERE rolname IN ('witch', 'replicator') AND rolvaliduntil < now()";
        assert_eq!(server.psql(expired).await, "0", "a password that was just set would not be taken");
        let rules = server
            .psql("SELECT string_agg(type || ' ' || user_name[1] || ' ' || auth_method, ', ' ORDER BY line_number) FROM pg_hba_file_rules")
            .await;
        assert!(
            rules.contains("host witch scram-sha-256") && rules.ends_with("local all trust, hostssl all scram-sha-256, host reader md5"),
            "{rules}"
        );
        server.stop().await;
    });
}

/// What would not be what the user had is refused by name, before anything is changed.
#[test]
fn what_cannot_be_adopted_as_it_was_is_refused_by_name() {
    as_postgres("founding::what_cannot_be_adopted_as_it_was_is_refused_by_name", async {
        let node = Node::new(1);
        let data_dir = node.site.data_dir();
        let mut initdb = std::process::Command::new(node.site.installation.program("initdb"));
        assert!(initdb.arg("-D").arg(&data_dir).args(["-U", "postgres", "--no-sync"]).output().unwrap().status.success());
        let refused = async |what: &str| {
            let error = adopt(&node.site).await.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        for file in ["standby.signal", "recovery.signal", "recovery.conf"] {
            fs::write(data_dir.join(file), "").unwrap();
            refused(file).await;
            fs::remove_file(data_dir.join(file)).unwrap();
        }
        fs::rename(data_dir.join("postgresql.conf"), node.folder.join("moved.conf")).unwrap();
        refused("no postgresql.conf").await;
        let elsewhere = node.folder.join("gone.conf");
        fs::write(data_dir.join("postmaster.opts"), format!("/usr/bin/postgres \"-c\" \"config_file={}\"\n", elsewhere.display())).unwrap();
        refused("gone.conf").await;
        fs::write(&elsewhere, "").unwrap();
        fs::write(node.folder.join("pg_hba.conf"), "local all @users trust\n").unwrap();
        refused("refers to other files").await;
        fs::write(node.folder.join("pg_hba.conf"), "local all all trust\n").unwrap();
        adopt(&node.site).await.unwrap();
    });
}
