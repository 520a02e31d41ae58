//! One probe per peer: exchanges reports with it and judges it green, yellow or red.
//!
//! It judges and never decides: a red peer is a fact for the FSM, whatever that makes of it.
