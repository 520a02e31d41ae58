//! Whether the roles that Witch and its standbys log in as have what they need, as the server's own catalogue says.

use super::connection::SqlFailure;
use super::{Session, Site};
use crate::pg::quoting::literal;
use std::time::Duration;

/// What the roles lack, in words. Empty: nothing.
///
/// # Errors
/// As with every query.
pub async fn unfit_roles(site: &Site, session: &mut Session, within: Duration) -> Result<Vec<String>, SqlFailure> {
    let settings = &site.settings;
    let what = "show the roles that Witch uses";
    let role = |name: &str, by_password: bool, right: &str| {
        let name = literal(name);
        format!(
            "SELECT {name}::pg_catalog.text AS name, r.oid IS NULL AS missing, NOT r.rolcanlogin AS nologin,
                    NOT (r.rolsuper OR r.{right}) AS powerless,
                    {by_password} AND r.rolvaliduntil OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.+) '7 days'::pg_catalog.interval) AS expires,
                    {by_password} AND pg_catalog.left(r.rolpassword, 3) OPERATOR(pg_catalog.=) 'md5' AS md5
               FROM (SELECT) one LEFT JOIN pg_catalog.pg_authid r ON r.rolname OPERATOR(pg_catalog.=) {name}::pg_catalog.name"
        )
    };
    let sql = format!(
        "{} UNION ALL {}",
        role(&settings.user, settings.password.is_some(), "rolsuper"),
        role(&settings.replication_user, settings.replication_password.is_some(), "rolreplication")
    );
    let mut unfit = Vec::new();
    for row in session.ask(what, &sql, within).await? {
        let is = |column: &str| row.try_get(column).ok().flatten() == Some("t");
        let name = row.try_get("name").ok().flatten().unwrap_or_default();
        let lacks = [
            ("missing", "does not exist"),
            ("nologin", "may not log in (NOLOGIN)"),
            ("powerless", "lacks SUPERUSER or REPLICATION"),
            ("expires", "has a password that is or will soon be invalid (VALID UNTIL)"),
            ("md5", "has a password that is stored as MD5, which Witch never sends"),
        ];
        unfit.extend(lacks.iter().filter(|(column, _)| is(column)).map(|(_, lack)| format!("role {name} {lack}")));
    }
    Ok(unfit)
}
