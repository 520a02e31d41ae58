use super::*;
use crate::raft;

fn described(bench: &Bench) -> Vec<(NodeId, Endpoint, Endpoint)> {
    let proposals = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Raft(raft::Order::Propose(Proposal {
            by, term: None, command: Command::Describe { node, witch, database, .. }, ..
        })) => {
            assert_eq!(by, node, "a node describes itself");
            Some((*node, witch.clone(), database.clone()))
        }
        _ => None,
    });
    proposals.collect()
}

fn moved(node: u64) -> Member {
    let place = |port| Endpoint { host: "elsewhere".into(), port };
    Member { witch: place(7001), database: place(6432), ..member(node) }
}

fn describe(Member { node, name, witch, database, .. }: Member) -> Command {
    Command::Describe { node, name, witch, database }
}

/// A bench whose node has that file.
fn with_file(node: u64, file: [Member; 3]) -> Bench {
    let mut bench = Bench::founded(node, 1);
    bench.machine = Machine::new(Config { members: file.into(), ..config(node) });
    bench.tell_state();
    bench.lead(false, Gate::Closed);
    bench
}

fn conditions(bench: &Bench) -> Vec<String> {
    let status = bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Publish(status) => status.database.clone(),
        _ => None,
    });
    status.expect("a database is shown").conditions.into_iter().map(|condition| condition.id).collect()
}

#[test]
fn a_node_whose_address_changed_says_so_until_the_log_has_it() {
    let mut bench = with_file(2, [member(1), moved(2), member(3)]);
    bench.report(database(Server::Standby, 100));
    assert_eq!(described(&bench), [(NodeId(2), moved(2).witch, moved(2).database)]);
    assert_eq!(conditions(&bench), ["address-not-told-yet"]);
    bench.effects.clear();
    bench.pass(300);
    assert_eq!(described(&bench).len(), 0, "it was said a moment ago");
    bench.pass(1000);
    assert_eq!(described(&bench).len(), 1, "and is said again, since a leader may have died with it");
    bench.commit(None, describe(moved(2)));
    bench.effects.clear();
    bench.pass(5000);
    bench.report(database(Server::Standby, 100));
    assert_eq!((described(&bench).len(), conditions(&bench).len()), (0, 0));
}

#[test]
fn a_server_on_the_port_of_before_is_left_where_it_is_found() {
    let mut bench = with_file(2, [member(1), moved(2), member(3)]);
    let seen = pg::conditions::addresses::PORT_NOT_IN_FORCE.seen("two ports");
    bench.effects.clear();
    bench.pass(2000);
    bench.report(Database { conditions: alloc::vec![seen], ..database(Server::Standby, 100) });
    bench.pass(2000);
    let (_, witch, known) = described(&bench).pop().expect("the daemon has moved");
    assert_eq!((witch, known), (moved(2).witch, member(2).database));
}

#[test]
fn nobody_describes_another_node_and_a_file_that_differs_is_named() {
    let mut bench = with_file(2, [member(1), member(2), moved(3)]);
    bench.report(database(Server::Standby, 100));
    bench.pass(2000);
    assert_eq!(described(&bench), []);
    assert_eq!(conditions(&bench), ["file-differs"]);
}

#[test]
fn standbys_follow_a_primary_to_its_new_address() {
    let mut bench = Bench::founded(2, 1);
    bench.report(database(Server::Standby, 100));
    bench.commit(None, describe(moved(1)));
    let follows = bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Database { order: Order::Follow(upstream), .. } => Some(upstream.database.clone()),
        _ => None,
    });
    assert_eq!(follows, Some(moved(1).database));
}

#[test]
fn a_name_that_another_member_has_is_not_told_again_and_again() {
    let twin = |own: Member| Member { name: member(3).name, ..own };
    let mut bench = with_file(2, [member(1), twin(member(2)), member(3)]);
    bench.report(database(Server::Standby, 100));
    assert_eq!(described(&bench), []);
    assert_eq!(conditions(&bench), ["address-not-told-yet"], "the status has it");
    let mut bench = with_file(2, [member(1), twin(moved(2)), member(3)]);
    bench.report(database(Server::Standby, 100));
    bench.commit(None, describe(Member { name: member(2).name, ..moved(2) }));
    bench.effects.clear();
    bench.pass(5000);
    assert_eq!(described(&bench), [], "its address is told all the same, and then no more");
}
