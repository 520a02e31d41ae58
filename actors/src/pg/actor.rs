//! The adapter's door to the world.

pub mod operations;
