//! What users make and set does not reach Witch's own sessions.

use crate::servers::{LONG, Node, Server, as_postgres, upstream};
use crate::statements::statements;
use actors::model::{Endpoint, NodeId, Position, Timeline};
use actors::pg::actor::operations::{
    Answer, Whom, adopt, basebackup, checkpoint_remote, end_of_wal, follow, initdb, introduce, preserve_diverged, probe_fresh, relate,
    reload, rewind, unfit_roles, upstream_ancestry,
};
use actors::pg::ancestry::Relation;
use actors::pg::sql::{Name, names};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Functions that note in the server's log, where a standby can write as well, that they were called.
const NOTE: &str = "
    CREATE FUNCTION public.sprung(what pg_catalog.text) RETURNS pg_catalog.bool LANGUAGE plpgsql AS
        'BEGIN RAISE LOG ''trap sprung: %'', what; RETURN true; END'";

/// For each function: all that the catalogue has under its name, and the same with each argument of another type. Whatever the arguments in
/// a statement are, one of them fits as well as the catalogue's, and comes first in the path, or better.
const FUNCTIONS: &str = "
    DO $do$
    DECLARE f record; t text; n int; arguments text[];
        types CONSTANT text[] := '{text,name,int4,int8,numeric,pg_lsn,bool,oid,bytea,timestamptz}';
    BEGIN
        FOR f IN SELECT p.*, pg_get_function_result(p.oid) AS result, pg_get_function_identity_arguments(p.oid) AS identity FROM pg_proc p
                  WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (ARRAY[{names}]) LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS $b$BEGIN PERFORM public.sprung(%L); %s; END$b$',
                    f.proname, f.identity, f.result, f.proname, CASE WHEN f.proretset OR f.result = 'record' THEN 'RETURN' ELSE 'RETURN NULL' END);
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
            FOR n IN 1 .. f.pronargs LOOP
                FOREACH t IN ARRAY types LOOP
                    arguments := ARRAY(SELECT format_type(a, NULL) FROM unnest(f.proargtypes) AS a);
                    arguments[n] := t;
                    BEGIN
                        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS $b$BEGIN PERFORM public.sprung(%L); RETURN NULL; END$b$',
                            f.proname, array_to_string(arguments, ', '), f.result, f.proname);
                    EXCEPTION WHEN OTHERS THEN NULL;
                    END;
                END LOOP;
            END LOOP;
        END LOOP;
    END $do$";

const OPERATORS: &str = "
    DO $do$
    DECLARE o text; l text; r text; result text;
        types CONSTANT text[] := '{text,name,int4,int8,numeric,pg_lsn,bool,oid,timestamptz}';
    BEGIN
        FOREACH o IN ARRAY ARRAY[{names}] LOOP
            result := CASE WHEN o IN ('=', '<>', '~') THEN 'bool' WHEN o = '||' THEN 'text' ELSE 'numeric' END;
            FOREACH l IN ARRAY types LOOP FOREACH r IN ARRAY types LOOP
                EXECUTE format('CREATE OR REPLACE FUNCTION public.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS
                    $b$BEGIN PERFORM public.sprung(%L); RETURN NULL; END$b$', 'trap' || o, l, r, result, o);
                EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)', o, l, r, 'trap' || o);
            END LOOP; END LOOP;
        END LOOP;
    END $do$";

/// Runs SQL as a user would who knows what was planted.
async fn quietly(server: &Server, sql: &str) -> String {
    let known = [(14, " -c idle_session_timeout=0"), (17, " -c transaction_timeout=0 -c event_triggers=off")];
    let later: String = known.iter().filter(|(since, _)| *since <= server.major()).map(|(_, options)| *options).collect();
    let pinned = "-c search_path=pg_catalog -c statement_timeout=0 -c default_transaction_read_only=off -c session_preload_libraries= -c role=none \
                  -c default_transaction_isolation=read\\ committed -c log_min_duration_statement=-1 -c log_statement=none -c post_auth_delay=0";
    server.psql_with(&format!("{pinned}{later}"), sql).await
}

async fn plant(server: &Server) {
    let found: BTreeSet<Name> = statements().iter().flat_map(|(_, text)| names(text)).collect();
    let list = |pick: fn(&Name) -> Option<&String>| {
        let quoted: Vec<String> = found.iter().filter_map(pick).map(|name| format!("'{name}'")).collect();
        quoted.join(", ")
    };
    quietly(server, NOTE).await;
    let functions = list(|name| if let Name::Function(name) = name { Some(name) } else { None });
    assert!(
        functions.contains("'pg_current_wal_lsn'") && functions.contains("'div'") && functions.contains("'has_function_privilege'"),
        "{functions}"
    );
    quietly(server, &FUNCTIONS.replace("{names}", &functions)).await;
    let operators = list(|name| if let Name::Operator(name) = name { Some(name) } else { None });
    assert!(operators.contains("'~'") && operators.contains("'||'"), "{operators}");
    quietly(server, &OPERATORS.replace("{names}", &operators)).await;
    for name in &found {
        match name {
            Name::Relation(name) => {
                let view = format!("CREATE VIEW public.{name} AS SELECT * FROM pg_catalog.{name} WHERE public.sprung('{name}')");
                quietly(server, &view).await;
            }
            Name::Type(name) => {
                let base = if name == "bit" { "bit(32)" } else { name };
                let domain = format!("CREATE DOMAIN public.{name} AS pg_catalog.{base} CHECK (public.sprung('type {name}'))");
                quietly(server, &domain).await;
            }
            Name::Function(_) | Name::Operator(_) => {}
        }
    }
    // Nothing of this is in anybody's way who pins what matters.
    for whose in ["ROLE witch SET", "ROLE replicator SET", "DATABASE postgres SET", "SYSTEM SET"] {
        quietly(server, &format!("ALTER {whose} search_path = public, pg_catalog")).await;
    }
    // They are sharp: a session that pins nothing springs them.
    let asked = "SELECT pg_is_in_recovery(), mod(1::numeric, 2::bigint), 'a'::name ~ 'b', '0/1'::pg_lsn FROM pg_roles LIMIT 1";
    server.psql(asked).await;
    for name in ["pg_is_in_recovery", "mod", "~", "type pg_lsn", "pg_roles"] {
        assert!(server.log_text().contains(&format!("trap sprung: {name}")), "{name} does not spring:\n{}", server.log_text());
    }
}

/// Policies that are common for applications, and mishaps, for the role, the database and the server.
async fn set(server: &Server) {
    quietly(server, "CREATE ROLE plain").await;
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "default_transaction_deferrable = on",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "synchronous_commit = remote_apply",
        "DateStyle = 'German'",
        "bytea_output = 'escape'",
        "exit_on_error = on",
        "log_statement = 'all'",
        "log_min_duration_statement = 0",
    ] {
        for whose in ["ROLE witch", "ROLE replicator", "DATABASE postgres", "SYSTEM"] {
            quietly(server, &format!("ALTER {whose} SET {setting}")).await;
        }
    }
    quietly(server, "ALTER ROLE witch SET role = plain").await;
    quietly(server, "ALTER ROLE witch SET session_preload_libraries = 'no_such_library'").await;
    quietly(server, "ALTER SYSTEM SET post_auth_delay = 1").await;
    if server.major() >= 14 {
        quietly(server, "ALTER SYSTEM SET idle_session_timeout = 1").await;
    }
    if server.major() >= 17 {
        quietly(server, "ALTER ROLE witch SET transaction_timeout = 1").await;
        let refuse = "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN CREATE TABLE public.guest(); RAISE ''no''; END'";
        quietly(server, refuse).await;
        quietly(server, "CREATE EVENT TRIGGER refuse ON login EXECUTE FUNCTION public.refuse()").await;
        quietly(server, "ALTER EVENT TRIGGER refuse ENABLE ALWAYS").await;
    }
    quietly(server, "SELECT pg_reload_conf()").await;
}

/// F01 to F03: a cluster's life from the first clone to a rewind, with a trap for each name that Witch uses.
#[test]
fn witchs_sessions_take_nothing_from_what_users_make_or_set() {
    as_postgres("sessions::witchs_sessions_take_nothing_from_what_users_make_or_set", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let both = [NodeId(1), NodeId(2)].into();
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        quietly(&first, "REVOKE pg_read_all_stats FROM replicator").await;
        quietly(&first, "REVOKE CONNECT ON DATABASE postgres FROM replicator, PUBLIC").await;
        plant(&first).await;
        set(&first).await;
        let planted = first.log_text();

        let mut session = first.session().await;
        assert_eq!(session.ensure_rights(&one.site, LONG).await.unwrap(), 2, "those that were taken away");
        assert_eq!(session.ensure_rights(&one.site, LONG).await.unwrap(), 0);
        session.ensure_slots(NodeId(1), &both, LONG).await.unwrap();
        session.note_databases(&one.site, LONG).await.unwrap();
        session.checkpoint(LONG).await.unwrap();
        assert_eq!(session.switch_segment(LONG).await.unwrap(), None, "nobody archives anything");
        assert!(session.senders(LONG).await.unwrap().is_empty());
        reload(&one.site, first.pid()).await.unwrap();
        assert!(!session.observe(LONG).await.unwrap().in_recovery);
        quietly(&first, "ALTER ROLE replicator VALID UNTIL 'tomorrow'").await;
        let unfit = unfit_roles(&one.site, &mut session, LONG).await.unwrap();
        assert_eq!(unfit, ["role replicator has a password that is or will soon be invalid (VALID UNTIL)"]);
        quietly(&first, "ALTER ROLE replicator VALID UNTIL 'infinity'").await;
        assert!(unfit_roles(&one.site, &mut session, LONG).await.unwrap().is_empty());
        session.terminate_foreign_walsenders(&both, LONG).await.unwrap();
        assert_eq!(probe_fresh(&one.site, Whom::Local, LONG).await, Answer::Ok);
        assert_eq!(probe_fresh(&two.site, Whom::Remote(&one.endpoint()), LONG).await, Answer::Ok);

        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        let second = two.start().await;
        second.streams_on(Timeline(1)).await;
        let mut session = second.session().await;
        follow(&two.site, second.pid(), Some(&one.endpoint())).await.unwrap();
        session.ensure_slots(NodeId(2), &both, LONG).await.unwrap();
        session.ensure_rights(&two.site, LONG).await.unwrap();
        second.has_received(&first).await;
        let promotion = second.promote().await;
        quietly(&first, "CREATE TABLE public.of_the_first AS SELECT 1 AS n").await;
        quietly(&second, "CREATE TABLE public.of_the_second AS SELECT 1 AS n").await;
        first.crash().await;

        let upstream = upstream(&two, identity, 2, promotion.lsn.0);
        let end = end_of_wal(&one.site, LONG).await.unwrap();
        let fork = Position { timeline: Timeline(1), lsn: promotion.lsn };
        assert_eq!(relate(&one.site, end, &two.endpoint(), LONG).await.unwrap(), Relation::Diverged { fork });
        upstream_ancestry(&one.site, &two.endpoint(), LONG).await.unwrap();
        preserve_diverged(&one.site, fork, end).await.unwrap();
        checkpoint_remote(&one.site, &upstream, LONG).await.unwrap();
        rewind(&one.site, &upstream, &|_| {}).await.unwrap();
        // It may need the very end of the source's log before it opens.
        second.session().await.ensure_slots(NodeId(2), &both, LONG).await.unwrap();
        let first = one.start().await;
        first.streams_on(Timeline(2)).await;
        // Nobody to follow: it says on which timeline it is by its files.
        let mut session = first.session().await;
        quietly(&first, "ALTER SYSTEM SET primary_conninfo = 'host=192.0.2.1'").await;
        reload(&one.site, first.pid()).await.unwrap();
        while session.observe(LONG).await.unwrap().receiver.is_some() {}
        assert_eq!(session.observe(LONG).await.unwrap().position.timeline, Timeline(2));
        first.stop().await;

        let log = |node: &Node| std::fs::read_to_string(node.folder.join("log")).unwrap();
        let sprung = |text: &str| text.matches("trap sprung").count();
        for (text, baseline) in [(log(&one), sprung(&planted)), (log(&two), 0)] {
            assert_eq!(sprung(&text), baseline, "{text}");
            let asked = text.lines().filter(|line| line.contains("pg_stat_wal_receiver") && line.contains("statement:")).count();
            assert_eq!(asked, 0, "Witch's questions are in the log:\n{text}");
        }
        // The founding of a cluster on such a database is no different.
        second.stop().await;
        adopt(&two.site).await.unwrap();
        assert_eq!(sprung(&log(&two)), 0);
    });
}

/// F04: without the usual database, any other will do.
#[test]
fn any_database_that_can_be_entered_will_do() {
    as_postgres("sessions::any_database_that_can_be_entered_will_do", async {
        let (one, two) = (Node::new(1), Node::new(2));
        let identity = initdb(&one.site).await.unwrap();
        let first = one.start().await;
        assert_eq!(first.session().await.database(), "postgres");
        first.psql("CREATE DATABASE \"an other\"").await;
        first.psql_in("an other", "ALTER DATABASE postgres ALLOW_CONNECTIONS false").await;
        assert_eq!(first.session().await.database(), "template1", "nothing else is known yet");
        first.session().await.note_databases(&one.site, LONG).await.unwrap();
        assert_eq!(first.session().await.database(), "an other");
        assert_eq!(probe_fresh(&one.site, Whom::Local, LONG).await, Answer::Ok);
        first.psql_in("an other", "ALTER DATABASE template1 ALLOW_CONNECTIONS false").await;
        assert_eq!(first.session().await.database(), "an other");
        // Who comes to copy it has never been here, and knows no name: then the replication protocol's own checks are not enough to go by.
        first.psql_in("an other", "ALTER DATABASE template1 ALLOW_CONNECTIONS true").await;
        basebackup(&two.site, &upstream(&one, identity, 1, 0), &|_| {}).await.unwrap();
        assert!(first.session().await.ensure_rights(&one.site, LONG).await.unwrap() > 0, "functions are granted per database");
        first.psql_in("an other", "ALTER DATABASE postgres RENAME TO former").await;
        assert_eq!(first.session().await.database(), "an other");
        first.psql_in("an other", "DROP DATABASE former").await;
        first.stop().await;
        assert_eq!(adopt(&one.site).await.unwrap(), identity, "single-user mode enters another one, too");
    });
}

/// Answers every start-up packet by asking for a password in that way, and keeps what it hears.
async fn impostor(method: u8) -> (Endpoint, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let mut asked = false;
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    all.lock().unwrap().extend_from_slice(&bytes[..count]);
                    if !asked {
                        asked = true;
                        let salt: &[u8] = if method == 5 { &[1, 2, 3, 4] } else { &[] };
                        let length = u8::try_from(8 + salt.len()).unwrap();
                        let _ = stream.write_all(&[&[b'R', 0, 0, 0, length, 0, 0, 0, method], salt].concat()).await;
                    }
                }
            });
        }
    });
    (endpoint, heard)
}

/// F2: whoever answers on a member's port learns no password.
#[test]
fn who_answers_on_a_members_port_learns_no_password() {
    as_postgres("sessions::who_answers_on_a_members_port_learns_no_password", async {
        let node = Node::new(1);
        for (method, named) in [(3, "the password in clear text"), (5, "an MD5 password")] {
            let (endpoint, heard) = impostor(method).await;
            assert_eq!(probe_fresh(&node.site, Whom::Remote(&endpoint), LONG).await, Answer::Ok, "it answers");
            let refused = upstream_ancestry(&node.site, &endpoint, LONG).await.unwrap_err().to_string();
            assert!(refused.contains(named) && refused.contains("scram-sha-256"), "{refused}");
            // The same where the own server is taken for it: its port may be another's.
            let mut local = node.site.clone();
            local.settings.port = endpoint.port;
            assert!(matches!(probe_fresh(&local, Whom::Local, LONG).await, Answer::Miss(_)));
            let refused = introduce(&node.site, &endpoint, LONG).await.unwrap_err().to_string();
            assert!(refused.contains("scram-sha-256"), "{refused}");
            let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
            assert_eq!(heard.matches("application_name").count(), 4, "a start-up packet each: {heard:?}");
            assert_eq!(heard.matches("-c idle_session_timeout=0").count(), 4, "each with its pins: {heard:?}");
            assert!(!heard.contains("secret") && !heard.contains("an\"other") && !heard.contains("md5"), "{heard:?}");
            assert!(!heard.contains("p\0\0\0"), "no message with a password: {heard:?}");
        }
    });
}
