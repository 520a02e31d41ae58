//! The one that decides.
//!
//! It folds facts into state, derives a view of small enums, and takes the first row of a rule table that matches: one table for what this
//! *node* does with its database, one for what the *Raft leader* proposes. Every decision carries the id of its row and the reason.
//! It never touches the world: what it wants done it orders, and what became of it comes back as a fact.
//!
//! Talks to everybody; nobody talks past it.

mod request;

pub use request::{Refusal, Request};
