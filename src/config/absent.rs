//! Keys of features that this version does not have.
//!
//! They are known, so that one file serves every version, and harmless while they ask for nothing. A file that asks for an absent feature
//! is refused: somebody relies upon it.

use super::reading::Reading;

/// Names of hooks.
const HOOKS: &[&str] = &[
    "on_start",
    "on_stop",
    "on_role_change",
    "on_failover",
    "on_switchover",
    "on_node_join",
    "on_node_remove",
    "on_node_rejoin",
    "stonith",
    "pre_promote",
];

/// Reads `[watchdog]`, `[hooks]`, `[tls]` and `[api]`, and refuses whatever they ask for.
pub(super) fn read(reading: &mut Reading) {
    let on = reading.flag("watchdog.enabled");
    if reading.choice("watchdog.mode", &["off", "automatic", "required"]) != "off" || on {
        let key = if on { "watchdog.enabled" } else { "watchdog.mode" };
        let rule = "this version of witch does not drive a hardware watchdog yet; the guard process fences the database by itself";
        reading.fault(key, rule, "set watchdog.mode to \"off\" or remove the section");
    }
    reading.text_or("watchdog.device", "/dev/watchdog");
    for hook in HOOKS {
        refuse_text(reading, &format!("hooks.{hook}"), "this version of witch runs no hooks yet");
    }
    for key in ["tls.cert", "tls.key", "tls.ca"] {
        refuse_text(reading, key, "this version of witch does not speak TLS yet: it would talk in the clear");
    }
    for key in ["api.tokens", "api.roles"] {
        if reading.list(key).is_some_and(|list| !list.is_empty()) {
            reading.fault(key, "this version of witch knows no roles yet: api.token allows everything", "remove it");
        }
    }
}

/// Refuses a text that is not empty.
pub(super) fn refuse_text(reading: &mut Reading, key: &str, rule: &str) {
    if reading.text(key).is_some() {
        reading.fault(key, rule, "set it to \"\" or remove it");
    }
}
