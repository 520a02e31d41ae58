//! The black box: the built program against real PostgreSQL under real faults, one behaviour a file.
//!
//! Every fault test ends with `Scene::finish`, which asserts what must hold after any fault: at no instant did two databases accept writes,
//! all nodes are one primary and its streaming standbys again without an operator, and the acknowledged writes that are gone are within
//! the bound that the rules allow.

mod scene;

mod address_changed;
mod clients;
mod clock_set;
mod cold_start;
mod config_refused;
mod copies;
mod daemon_killed;
mod daemon_replaced;
mod daemon_stopped;
mod database_emptied;
mod demo;
mod disk_full;
mod examples;
mod foreign_database;
mod founding;
mod guard_killed;
mod guard_stopped;
mod haproxy;
mod health_endpoints;
mod majority_lost;
mod node_killed;
mod own_sessions;
mod pause;
mod primary_cut_off;
mod raft_leader_killed;
mod request_refused;
mod server_hung;
mod server_killed;
mod standby_cut_off;
mod startup_refused;
mod stops;
mod strangers;
mod surroundings_changed;
mod switchover_refused;
mod switchovers;
mod witch_folder_emptied;
