//! The API over real sockets on loopback, with a fake status and a test in the FSM's place.

mod changes;
mod contract;
mod guests;
mod limits;
mod reads;
mod world;
