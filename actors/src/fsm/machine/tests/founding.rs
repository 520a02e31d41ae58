//! Who founds the database of a cluster that has none yet.

use super::*;

#[test]
fn the_founder_has_the_highest_priority_and_a_database_outweighs_that() {
    let empty = || Database { directory: Directory::Empty, position: None, ..database(Server::Stopped, 0) };
    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, empty(), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), [], "node 3 has not told yet");
    bench.observe(3, Health::Green, empty(), 0);
    assert_eq!(bench.appointed(), [(NodeId(1), "found-unpaused".into())]);

    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, empty(), 0);
    bench.observe(3, Health::Green, database(Server::Stopped, 100), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), [(NodeId(3), "found-unpaused".into())]);

    let mut bench = Bench::born(2);
    bench.report(empty());
    bench.observe(1, Health::Green, database(Server::Stopped, 100), 0);
    bench.observe(3, Health::Green, database(Server::Stopped, 100), 0);
    bench.lead(true, Gate::Released);
    assert_eq!(bench.appointed(), []);
    assert_eq!(bench.machine.leader_rule, "founding-refused");
}
