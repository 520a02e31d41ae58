//! The one that decides.
//!
//! It folds facts into state, derives a view of small enums, and takes the first row of a rule table that matches: one table for what this
//! *node* does with its database, one for what the *Raft leader* proposes. Every decision carries the id of its row and the reason.
//! It never touches the world: what it wants done it orders, and what became of it comes back as a fact.
//!
//! Talks to everybody; nobody talks past it.

#[cfg(feature = "shell")]
pub mod actor;
mod addresses;
mod candidates;
mod config;
mod facts;
mod founding;
mod io;
mod lease;
mod machine;
mod newest;
mod request;
mod requests;
mod rules;
mod view;

pub use addresses::differences_of_files;
pub use config::Config;
pub use io::{Effect, Input};
pub use machine::{Machine, STAMP};
pub use newest::Newest;
pub use request::{Refusal, Request};
pub use rules::document;
