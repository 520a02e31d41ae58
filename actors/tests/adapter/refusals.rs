//! Refused logins, words that nobody knows, and lines that strangers put into a log: none of them costs a node its database.

use crate::node::signal;
use crate::{a_primary_and_its_standby, directory_of};
use actors::model::Server;
use actors::pg::{Order, Reported};
use nix::sys::signal::Signal;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;
use tokio_postgres::{Config, NoTls};

fn has_condition(report: &Reported, id: &str, words: &[&str]) -> bool {
    report.database.conditions.iter().any(|condition| condition.id == id && words.iter().all(|word| condition.text.contains(word)))
}

/// F05: the superuser's password is changed in SQL and the actor of a standby begins anew. It is neither stopped nor cloned, streams on, and
/// says which role, which SQLSTATE, and what to do; once the password is right again, all is as before.
pub(crate) async fn a_standby_whose_primary_refuses_the_login_streams_on() {
    let (one, two, upstream) = a_primary_and_its_standby().await;
    let (postmaster, directory) = (two.postmaster(), directory_of(&two));
    one.sql("ALTER ROLE witch PASSWORD 'changed'").await;
    two.until("it has the change", |report| has_condition(report, "own-login-refused", &["\"witch\"", "28P01"])).await;
    two.kill_the_actor();
    two.forget();
    two.until("the new actor watches", |report| report.order == 0).await;
    two.order(Order::Follow(upstream));
    // It is compared and told whom to follow all the same.
    two.until("it says who refuses what", |report| {
        report.database.position.is_some() && has_condition(report, "own-login-refused", &["\"witch\"", "28P01", "ALTER ROLE"])
    })
    .await;
    let config = Config::new().host("127.0.0.1").port(one.port()).user("witch").password("changed").dbname("postgres").clone();
    let (client, connection) = config.connect(NoTls).await.expect("the new password is right");
    tokio::spawn(connection);
    // The primary is asked as this role, and as the superuser only where this one is refused.
    client.batch_execute("ALTER ROLE replicator PASSWORD 'changed'").await.expect("it is changed");
    two.until("the primary's refusal is known before it matters", |report| {
        let refused = |id| has_condition(report, id, &["\"replicator\"", "28P01", "ALTER ROLE"]);
        refused("primary-login-refused") && refused("replication-refused")
    })
    .await;
    // Three refused comparisons were enough.
    two.stays("it is left alone", Duration::from_secs(8), |report| {
        report.database.operation.as_ref().is_none_or(|it| ["compare histories", "follow"].contains(&it.name.as_str()))
    })
    .await;
    assert_eq!((two.postmaster(), directory_of(&two)), (postmaster, directory));
    client.batch_execute("ALTER ROLE witch PASSWORD 'secret'; ALTER ROLE replicator PASSWORD 'another'").await.expect("it is changed back");
    two.until("it is as before", |report| {
        report.database.streaming && report.database.conditions.is_empty() && report.database.trouble.is_none()
    })
    .await;
    assert_eq!((two.postmaster(), directory_of(&two)), (postmaster, directory));
}

/// F07: the server dies of a `restore_command` that this host lacks. Its words are shown, its directory stays, and once the setting is gone it
/// starts and streams.
pub(crate) async fn a_standby_that_dies_of_its_settings_keeps_its_database() {
    let (_one, two, upstream) = a_primary_and_its_standby().await;
    two.order(Order::Stop);
    two.until("two has stopped", |report| report.stopped.is_some()).await;
    let (directory, settings) = (directory_of(&two), two.data_dir().join("postgresql.auto.conf"));
    let before = std::fs::read(&settings).expect("every database has this file");
    let mut file = OpenOptions::new().append(true).open(&settings).expect("it is the test's");
    file.write_all(b"restore_command = 'no-such-program %f %p'\n").expect("there is room");
    two.order(Order::Follow(upstream));
    let tried = two.until("it has tried three times", |report| report.database.deaths >= 3 && report.database.trouble.is_some()).await;
    let trouble = tried.database.trouble.unwrap_or_default();
    assert!(trouble.contains("could not restore file") && trouble.contains("restore_command"), "{trouble}");
    two.stays("no copy is made", Duration::from_secs(3), |report| report.database.operation.as_ref().is_none_or(|it| it.name != "clone"))
        .await;
    std::fs::write(&settings, before).expect("there is room");
    two.until("two streams again", |report| report.database.streaming && report.database.trouble.is_none()).await;
    assert_eq!(directory_of(&two), directory, "a clone would have replaced it");
}

/// security.md F4: every phrase that a log is searched for, planted by logins that fail. The standby is not streaming meanwhile, and keeps its
/// server and its database.
pub(crate) async fn what_strangers_put_into_the_log_costs_a_standby_nothing() {
    let (one, two, upstream) = a_primary_and_its_standby().await;
    let (postmaster, directory) = (two.postmaster(), directory_of(&two));
    // A standby that is aimed anew reads its log from there on.
    one.order(Order::Stop);
    one.until("one has stopped", |report| report.stopped.is_some()).await;
    two.until("two does not stream", |report| !report.database.streaming).await;
    let phrases = [
        "requested WAL segment 0 has already been removed",
        "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment x has already been removed"
            .get(..63)
            .expect("that long"),
        "new timeline 2 forked off current database system timeline 1",
        "x\nPANIC:  could not locate a valid checkpoint record",
        "highest timeline 1 of the primary is behind recovery timeline",
        "requested starting point x is ahead of the WAL flush position",
    ];
    for phrase in phrases {
        let config = Config::new().host("127.0.0.1").port(two.port()).user(phrase).password("wrong").dbname("postgres").clone();
        assert!(config.connect(NoTls).await.is_err(), "nobody is called that");
    }
    two.sql(
        "DO $$ BEGIN RAISE LOG 'new timeline 2 forked off current database system timeline 1 before current recovery point 0/1'; END $$",
    )
    .await;
    two.stays("nothing follows from it", Duration::from_secs(16), |report| {
        report.database.operation.as_ref().is_none_or(|it| ["compare histories", "follow", "tend slots"].contains(&it.name.as_str()))
    })
    .await;
    one.lead(1).await;
    one.until("one leads", |report| report.promotion().is_some()).await;
    two.order(Order::Follow(upstream));
    two.until("two streams again", |report| report.database.streaming).await;
    assert_eq!((two.postmaster(), directory_of(&two)), (postmaster, directory));
}

/// An audit locks the superuser: nobody is without a primary for it, however often daemon and server are started anew, and no standby is without
/// its stream.
pub(crate) async fn a_locked_superuser_costs_nobody_the_primary() {
    let (one, two, upstream) = a_primary_and_its_standby().await;
    one.sql("CREATE ROLE rescue SUPERUSER LOGIN PASSWORD 'rescue'").await;
    let as_rescue = async |statement: &str| {
        let config = Config::new().host("127.0.0.1").port(one.port()).user("rescue").password("rescue").dbname("postgres").clone();
        let (client, connection) = config.connect(NoTls).await.expect("it may log in");
        tokio::spawn(connection);
        client.batch_execute(statement).await.expect("it may do that");
    };
    let leads = |report: &Reported| report.database.server == Server::Primary && report.promotion().is_some();
    let refused = |report: &Reported| has_condition(report, "own-login-refused", &["\"witch\"", "ALTER ROLE"]);
    for lock in ["ALTER ROLE witch NOLOGIN", "ALTER ROLE witch LOGIN NOSUPERUSER", "ALTER ROLE replicator NOLOGIN"] {
        as_rescue(lock).await;
        for node in [&one, &two] {
            node.kill_the_actor();
            node.forget();
            node.until("the new actor watches", |report| report.order == 0).await;
        }
        one.order_to_lead(1);
        two.order(Order::Follow(upstream.clone()));
        one.until("one leads, and says who is refused", |report| leads(report) && refused(report)).await;
        if !lock.contains("replicator") {
            two.until("two streams", |report| report.database.streaming && refused(report)).await;
        }
        one.forget();
        signal(one.postmaster(), Signal::SIGKILL);
        one.until("the death is reported", |report| report.database.deaths > 0).await;
        one.until("one leads again", leads).await;
    }
    as_rescue("ALTER ROLE witch SUPERUSER; ALTER ROLE replicator LOGIN").await;
    for node in [&one, &two] {
        node.until("it is as before", |report| report.database.conditions.is_empty() && report.database.trouble.is_none()).await;
    }
    two.until("two streams", |report| report.database.streaming).await;
}

/// What a running server does without and its next start does not.
pub(crate) async fn what_a_start_would_refuse_is_said_while_the_server_runs() {
    let (one, two, _) = a_primary_and_its_standby().await;
    let settings = one.data_dir().join("postgresql.auto.conf");
    let before = std::fs::read(&settings).expect("every database has this file");
    one.sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements, no_such_library'").await;
    one.sql("ALTER SYSTEM SET ssl = on").await;
    std::fs::write(one.data_dir().join("pg_hba.adopted.conf"), "host all all all scram\n").expect("there is room");
    let closed = one.data_dir().join("lost+found");
    std::fs::DirBuilder::new().mode(0o0).create(&closed).expect("there is room");
    one.until("all of it is said", |report| {
        has_condition(report, "next-start-fails", &["no_such_library", "ssl_cert_file", "ssl_key_file"])
            && has_condition(report, "next-start-fails", &["pg_hba.conf:", "\"scram\""])
            && has_condition(report, "unreadable-files", &["lost+found"])
    })
    .await;
    assert!(two.last().database.conditions.is_empty(), "it is not of the other: {:?}", two.last().database.conditions);
    std::fs::write(&settings, before).expect("there is room");
    std::fs::remove_file(one.data_dir().join("pg_hba.adopted.conf")).expect("it is the test's");
    std::fs::remove_dir(closed).expect("it is the test's");
    one.until("it is mended", |report| report.database.conditions.iter().all(|condition| condition.id == "configuration-mended")).await;
}
