//! Whole nodes under virtual time: the real machines in the real tree, with hands that touch only a model of the world.
//!
//! Kill or poison any actor, wedge the FSM, take a host's power: the model asserts at every virtual millisecond, and in every instant in which
//! a server becomes writable, that at most one server of the cluster may accept writes.

mod database;
mod deaths;
mod disk;
mod failover;
mod founding;
mod hands;
mod illness;
mod links;
mod log;
mod node;
mod wait;
mod wedged;
