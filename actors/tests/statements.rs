//! No statement of Witch leaves a name to the search path.

#[path = "common/statements.rs"]
mod statements;

use actors::pg::sql;

#[test]
fn every_name_in_every_statement_is_qualified() {
    let statements = statements::statements();
    // Far fewer would mean that they are not found.
    assert!(statements.len() > 25, "only {} statements were found", statements.len());
    for known in
        ["CHECKPOINT", "SELECT r.in_recovery", "GRANT EXECUTE ON FUNCTION", "pg_create_physical_replication_slot", "BEGIN IF NOT EXISTS"]
    {
        assert!(statements.iter().any(|(_, text)| text.contains(known)), "{known} is not found");
    }
    let faults: Vec<_> = statements
        .iter()
        .flat_map(|(file, text)| sql::unqualified(text).into_iter().map(move |fault| format!("{}: {fault} in: {text}", file.display())))
        .collect();
    assert!(faults.is_empty(), "the search path would resolve:\n{}", faults.join("\n"));
}
