//! A node that is not the primary: it does not write, follows whoever is primary, and leaves a foreign database alone.

use super::*;

#[test]
fn a_writable_database_on_a_node_that_is_not_primary_is_fenced() {
    let mut bench = Bench::founded(1, 2);
    bench.report(database(Server::Primary, 100));
    assert_eq!(*bench.order(), Order::Fence);
}

#[test]
fn a_standby_follows_the_promoted_primary_and_rewinds_nothing_before_it_has_settled() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    let promotion = |bench: &Bench| match bench.order() {
        Order::Follow(upstream) => upstream.promotion,
        other => panic!("{other:?}"),
    };
    assert_eq!(promotion(&bench), None);
    bench.pass(600);
    assert!(promotion(&bench).is_some());
}

#[test]
fn a_foreign_database_is_left_alone() {
    let mut bench = Bench::founded(2, 1);
    let foreign = Directory::Database { system_identifier: SystemIdentifier(1), timeline: Timeline(1) };
    bench.effects.clear();
    bench.report(Database { directory: foreign, ..database(Server::Stopped, 100) });
    assert_eq!(*bench.order(), Order::Watch);
    let told = bench.effects.iter().find_map(|effect| match effect {
        Effect::Report(report) => report.database.as_ref()?.trouble.clone(),
        _ => None,
    });
    assert!(told.is_some_and(|trouble| trouble.contains("identifier is 1, and c has 77")));
}
