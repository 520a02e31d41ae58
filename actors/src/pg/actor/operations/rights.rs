//! What the replication role may do beyond streaming.
//!
//! `pg_rewind` reads the primary's files over SQL, and a node that returns asks the primary for its history and its size. All of it is
//! asked as this role, so that the superuser's password stays at home.

use super::Site;
use super::connection::{Connection, SqlFailure};
use crate::pg::quoting::{identifier, literal};
use std::time::Duration;

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Right {
    what: What,
    /// The first major version that has it.
    since: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// To call a function.
    Function(&'static str),
    /// What members of a role of PostgreSQL may.
    Role(&'static str),
    /// To set a setting.
    Setting(&'static str),
    /// To enter the database, which is everybody's right until somebody takes it away.
    Entry,
}

const RIGHTS: [Right; 9] = [
    Right { what: What::Entry, since: 13 },
    function("pg_catalog.pg_ls_dir(pg_catalog.text, pg_catalog.bool, pg_catalog.bool)"),
    function("pg_catalog.pg_stat_file(pg_catalog.text, pg_catalog.bool)"),
    function("pg_catalog.pg_read_binary_file(pg_catalog.text)"),
    function("pg_catalog.pg_read_binary_file(pg_catalog.text, pg_catalog.int8, pg_catalog.int8, pg_catalog.bool)"),
    function("pg_catalog.pg_ls_waldir()"),
    // The size of databases that it may not enter.
    Right { what: What::Role("pg_read_all_stats"), since: 13 },
    Right { what: What::Role("pg_checkpoint"), since: 15 },
    // A trigger on logins could keep it out.
    Right { what: What::Setting("event_triggers"), since: 17 },
];

const fn function(signature: &'static str) -> Right {
    Right { what: What::Function(signature), since: 13 }
}

impl Right {
    /// The statement that grants it in that database.
    pub(super) fn grant(&self, role: &str, database: &str) -> String {
        let role = identifier(role);
        match self.what {
            What::Function(function) => format!("GRANT EXECUTE ON FUNCTION {function} TO {role}"),
            What::Role(member) => format!("GRANT {member} TO {role}"),
            What::Setting(setting) => format!("GRANT SET ON PARAMETER {setting} TO {role}"),
            What::Entry => format!("GRANT CONNECT ON DATABASE {} TO {role}", identifier(database)),
        }
    }

    /// Whether the role has it, in SQL.
    fn held(&self, role: &str) -> String {
        let role = format!("{}::pg_catalog.name", literal(role));
        let text = |text: &str| format!("{}::pg_catalog.text", literal(text));
        match self.what {
            What::Function(function) => format!("pg_catalog.has_function_privilege({role}, {}, {})", text(function), text("EXECUTE")),
            What::Role(member) => format!("pg_catalog.pg_has_role({role}, {}::pg_catalog.name, {})", literal(member), text("MEMBER")),
            What::Setting(setting) => format!("pg_catalog.has_parameter_privilege({role}, {}, {})", text(setting), text("SET")),
            What::Entry => {
                format!("pg_catalog.has_database_privilege({role}, pg_catalog.current_database()::pg_catalog.text, {})", text("CONNECT"))
            }
        }
    }
}

/// The rights that there are in a server of that major version.
pub(super) fn all(major: u32) -> impl Iterator<Item = Right> {
    RIGHTS.into_iter().filter(move |right| right.since <= major)
}

/// What the replication role lacks in the database of this connection. A superuser lacks nothing.
pub(super) async fn lacking(site: &Site, connection: &mut Connection, within: Duration) -> Result<Vec<Right>, SqlFailure> {
    Ok(ask(site, connection, within).await?.lacking)
}

/// Grants on a primary what is lacking, and answers how much that was. On a standby it comes with the log.
pub(super) async fn ensure(site: &Site, connection: &mut Connection, within: Duration) -> Result<usize, SqlFailure> {
    let Said { lacking, in_recovery } = ask(site, connection, within).await?;
    if in_recovery {
        return Ok(0);
    }
    let database = connection.database().to_owned();
    for right in &lacking {
        connection
            .ask("grant the replication role what it needs", &right.grant(&site.settings.replication_user, &database), within)
            .await?;
    }
    Ok(lacking.len())
}

struct Said {
    lacking: Vec<Right>,
    in_recovery: bool,
}

async fn ask(site: &Site, connection: &mut Connection, within: Duration) -> Result<Said, SqlFailure> {
    let what = "say what the replication role may do";
    let rights: Vec<Right> = all(site.installation.major()).collect();
    let row = connection.ask_one(what, &question(&rights, &site.settings.replication_user), within).await?;
    let says = |column: &str| connection.column::<String>(what, &row, column).map(|text| text == "t");
    let mut lacking = Vec::new();
    for (number, right) in rights.into_iter().enumerate() {
        if !says(&format!("right_{number}"))? {
            lacking.push(right);
        }
    }
    Ok(Said { lacking, in_recovery: says("in_recovery")? })
}

fn question(rights: &[Right], role: &str) -> String {
    let columns: Vec<String> = rights.iter().enumerate().map(|(number, right)| format!("{} AS right_{number}", right.held(role))).collect();
    format!("SELECT {}, pg_catalog.pg_is_in_recovery() AS in_recovery", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::sql::unqualified;

    #[test]
    fn what_is_granted_and_asked_is_qualified() {
        for major in [13, 18] {
            let rights: Vec<Right> = all(major).collect();
            let grants: Vec<String> = rights.iter().map(|right| right.grant("it's \"me\"", "a \"b\"")).collect();
            assert_eq!(grants.iter().any(|grant| grant.contains("event_triggers")), major == 18);
            for statement in grants.iter().chain([&question(&rights, "it's \"me\"")]) {
                assert_eq!(unqualified(statement), Vec::<String>::new(), "{statement}");
            }
        }
    }
}
