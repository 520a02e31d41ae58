//! When a hardware watchdog may be petted (S7), as pure policy.
