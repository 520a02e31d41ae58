//! A database is made or adopted.

use super::*;

#[test]
fn it_founds_a_database_and_leaves_it_stopped() {
    let mut bench = Bench::new(World::empty());
    assert_eq!(bench.order(Order::Found, 10_000).transcript(), ["initdb"]);
    assert_eq!((bench.last().founded, bench.server()), (Some(OURS), Server::Stopped));
}

#[test]
fn it_adopts_the_database_that_is_there() {
    let mut bench = Bench::new(World::stopped_primary());
    assert_eq!(bench.order(Order::Found, 10_000).transcript(), ["adopt"]);
    assert_eq!(bench.last().founded, Some(OURS));
}

#[test]
fn it_founds_nothing_under_a_stranger_or_on_foreign_files() {
    let stranger = World { stranger: Some(42), ..World::stopped_primary() };
    let unusable = World { directory: Directory::Unusable { reason: "holds photographs".into() }, ..World::empty() };
    for (world, word) in [(stranger, "42"), (unusable, "photographs")] {
        let mut bench = Bench::new(world);
        assert_eq!(bench.order(Order::Found, 10_000).transcript(), nothing());
        let trouble = bench.last().database.trouble.clone().unwrap_or_default();
        assert!(trouble.contains(word), "{trouble}");
        assert_eq!(bench.last().founded, None);
    }
}
