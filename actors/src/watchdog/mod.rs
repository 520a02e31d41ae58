//! When a hardware watchdog may be petted (S7), as pure policy.
//!
//! The watchdog is for what the guard cannot do: a host on which daemon and guard both stand still while a database goes on accepting
//! writes. It resets the host unless it is petted, so the whole art is to stop petting in time, and not a moment too early.
//!
//! Talks to: the FSM, whose pulses earn the petting. Absent here: the device.

mod policy;

pub use policy::{Config, Device, Fault, Mode, Pulse, may_pet, may_promote};
