//! The birth of a cluster's database: made by `initdb`, or one that is there already.
//!
//! No server listens at any time: roles are made in single-user mode, which reads SQL from standard input and opens no socket. Passwords
//! never leave this process: the server gets SCRAM verifiers.

use super::clearing::Outside;
use super::configuration::write_configuration;
use super::databases::{DATABASE, TEMPLATE};
use super::directory::{control_head, create, inspect_directory};
use super::lock::OperationLock;
use super::lock_files::remove_stale_locks;
use super::marker::{self, Unfinished};
use super::program::{Patience, ProgramFailure};
use super::{Failure, Site, adopting, clearing, rights};
use crate::model::{Directory, SystemIdentifier};
use crate::pg::Secret;
use crate::pg::pins;
use crate::pg::quoting::{identifier, literal};
use postgres_protocol::password::scram_sha_256;
use std::time::Duration;

/// `initdb` writes and flushes some 40 MB.
const INITDB: Patience = Patience::Total(Duration::from_secs(300));
/// Recovery after a crash comes before the roles. It reports its progress at times (from PostgreSQL 15 on), or not at all.
const SINGLE_USER: Patience = Patience::Silence(Duration::from_secs(1800));
/// What the last statement in single-user mode answers: the server goes on after errors, so that it came so far has to be seen.
const DONE: &str = "witch-roles-are-made";

/// Makes a database in the empty or unfinished data directory, with Witch's roles and configuration, and leaves it stopped. No server
/// listens at any time.
///
/// # Errors
/// The directory holds something else, or a program fails.
pub async fn initdb(site: &Site) -> Result<SystemIdentifier, Failure> {
    let lock = OperationLock::take(site).await?;
    let directory = inspect_directory(site).await;
    if !matches!(directory, Directory::Empty | Directory::Unfinished) {
        return Err(unfit(site, "it is not empty, so no new database is made in it".into()));
    }
    create(site).await?;
    let outside = Outside::of(site).await?;
    marker::set(site, Unfinished::Found, outside.clone(), &lock).await?;
    clearing::clear(site, &outside, &lock).await?;
    match run_initdb(site, &lock, "C.UTF-8").await {
        // Older systems have no such locale.
        Err(ProgramFailure::Failed { output, .. }) if output.contains("invalid locale") => {
            clearing::clear(site, &outside, &lock).await?;
            run_initdb(site, &lock, "C").await?;
        }
        other => other?,
    }
    write_configuration(site, None).await?;
    make_roles(site).await?;
    let identifier = identity(site).await?;
    marker::clear(site, &lock).await?;
    Ok(identifier)
}

/// Makes the database that lies there the cluster's: recovers it if it crashed, sees to the roles and the configuration, and leaves it
/// stopped. Carried out twice, it changes nothing the second time.
///
/// # Errors
/// It is a standby of somebody, or a program fails.
pub async fn adopt(site: &Site) -> Result<SystemIdentifier, Failure> {
    let _lock = OperationLock::take(site).await?;
    match inspect_directory(site).await {
        Directory::Database { .. } => {}
        Directory::Unusable { reason } => return Err(unfit(site, reason)),
        Directory::Empty | Directory::Unfinished => return Err(unfit(site, "there is no whole database to adopt".into())),
    }
    for signal in ["standby.signal", "recovery.signal"] {
        if tokio::fs::try_exists(site.data_dir().join(signal)).await.unwrap_or(true) {
            return Err(unfit(
                site,
                format!("it is a standby of another server ({signal} lies in it); promote it there first, or empty the directory"),
            ));
        }
    }
    if tokio::fs::try_exists(site.data_dir().join("recovery.conf")).await.unwrap_or(true) {
        let reason = "recovery.conf lies in it, left by a restore of a version before 12; see whether that restore was finished, and remove the file";
        return Err(unfit(site, reason.into()));
    }
    let imported = {
        let site = site.clone();
        super::blocking(move || adopting::import(&site)).await?
    };
    for what in imported {
        tracing::warn!("adoption: {what}");
    }
    write_configuration(site, None).await?;
    remove_stale_locks(site).await?;
    make_roles(site).await?;
    identity(site).await
}

async fn run_initdb(site: &Site, lock: &OperationLock, locale: &str) -> Result<(), ProgramFailure> {
    // Nobody logs in before Witch's own pg_hba.conf is in place; what initdb writes refuses everybody but the owner.
    let initdb = site.installation.run("initdb", INITDB).holding(lock.share());
    let initdb = initdb.args(["--pgdata", &site.settings.data_dir, "--username=postgres", "--encoding=UTF8", "--data-checksums"]);
    let initdb = initdb.args(["--auth-local=peer", "--auth-host=reject"]).arg(format!("--locale={locale}"));
    initdb.args(&site.settings.initdb).output().await.map(drop)
}

/// Makes the roles, in single-user mode. A crashed database is recovered by that, too.
async fn make_roles(site: &Site) -> Result<(), Failure> {
    // In single-user mode a database that takes no connections can be entered, and nobody can drop the last of these.
    let databases = [DATABASE, TEMPLATE, "template0"];
    for database in databases {
        match make_roles_in(site, database).await {
            Err(Failure::Program(ProgramFailure::Failed { output, .. }))
                if database != databases[2] && output.contains(&format!("database \"{database}\" does not exist")) => {}
            other => return other,
        }
    }
    Ok(())
}

async fn make_roles_in(site: &Site, database: &str) -> Result<(), Failure> {
    let mut postgres = site.installation.run("postgres", SINGLE_USER).arg("--single").args(super::server_arguments(site).await);
    // A statement that failed must not take a verifier into a log, and errors are read in English.
    postgres = postgres.args(pins::arguments(site.installation.major())).args(["-c", "log_destination=stderr"]);
    let mut errors = Vec::new();
    let mut done = false;
    postgres
        .arg(database)
        .reading(roles(site, database))
        .run(|_, line| {
            if ["ERROR:", "FATAL:", "PANIC:"].iter().any(|severity| line.contains(severity)) {
                errors.push(line.to_owned());
            }
            // The prompt echoes nothing, so this can only be the answer.
            done |= line.contains(DONE);
        })
        .await?;
    if done && errors.is_empty() { Ok(()) } else { Err(unfit(site, format!("its roles could not be made: {}", errors.join("; ")))) }
}

/// The statements, one a line: single-user mode knows no other end of a statement.
fn roles(site: &Site, database: &str) -> String {
    let settings = &site.settings;
    let mut lines = Vec::from(role(&settings.user, "SUPERUSER LOGIN", settings.password.as_ref()));
    if settings.replication_user != settings.user {
        let name = &settings.replication_user;
        lines.extend(role(name, "REPLICATION LOGIN", settings.replication_password.as_ref()));
        lines.extend(rights::all(site.installation.major()).map(|right| right.grant(name, database)));
    }
    lines.push(format!("SELECT '{DONE}' AS roles"));
    lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

fn role(name: &str, powers: &str, password: Option<&Secret>) -> [String; 3] {
    let quoted = identifier(name);
    let known = format!("SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) {}", literal(name));
    let create = format!("BEGIN IF NOT EXISTS ({known}) THEN CREATE ROLE {quoted}; END IF; END");
    let password =
        password.map_or_else(String::new, |password| format!(" PASSWORD {}", literal(&scram_sha_256(password.reveal().as_bytes()))));
    // A password of before that has expired would make the new one invalid, too.
    let expired = format!("{known} AND r.rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now()");
    let renew = format!("BEGIN IF EXISTS ({expired}) THEN ALTER ROLE {quoted} VALID UNTIL 'infinity'; END IF; END");
    let renew = if password.is_empty() { "SELECT".to_owned() } else { format!("DO {}", literal(&renew)) };
    [format!("DO {}", literal(&create)), format!("ALTER ROLE {quoted} WITH {powers}{password}"), renew]
}

async fn identity(site: &Site) -> Result<SystemIdentifier, Failure> {
    let control = control_head(site).await;
    control.map(|control| control.system_identifier).ok_or_else(|| unfit(site, "its global/pg_control is not readable".into()))
}

fn unfit(site: &Site, reason: String) -> Failure {
    Failure::Directory { path: site.settings.data_dir.clone(), reason }
}
