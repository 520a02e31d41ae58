//! raft-rs logs by slog; the daemon by tracing. Its lines come out under a target of their own, since it says at info what is worth a debug.

use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};
use std::fmt::{Arguments, Write};

/// A logger for raft-rs, whose lines are tracing events of the target `raft_rs`.
pub fn logger() -> Logger {
    Logger::root(ToTracing, o!())
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        macro_rules! emit {
            ($level:ident) => {
                if tracing::enabled!(target: "raft_rs", tracing::Level::$level) {
                    tracing::event!(target: "raft_rs", tracing::Level::$level, values = %Values::of(record, values), "{}", record.msg())
                }
            };
        }
        match record.level() {
            Level::Critical | Level::Error => emit!(ERROR),
            Level::Warning => emit!(WARN),
            Level::Info => emit!(INFO),
            Level::Debug => emit!(DEBUG),
            Level::Trace => emit!(TRACE),
        }
        Ok(())
    }
}

/// `key=value key=value`
#[derive(Default)]
struct Values(String);

impl Values {
    fn of(record: &Record<'_>, logger: &OwnedKVList) -> Self {
        let mut values = Self::default();
        // Neither fails: writing into a string does not, and there is nothing else in it.
        let _ = record.kv().serialize(record, &mut values);
        let _ = logger.serialize(record, &mut values);
        values
    }
}

impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serializer for Values {
    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        let space = if self.0.is_empty() { "" } else { " " };
        write!(self.0, "{space}{key}={value}").map_err(|_| slog::Error::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id};
    use tracing::{Event, Metadata, Subscriber};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Visit for Lines {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().push(format!("{field}: {value:?}"));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::INFO
        }
        fn event(&self, event: &Event<'_>) {
            let metadata = event.metadata();
            self.0.lock().unwrap().push(format!("{} {}", metadata.target(), metadata.level()));
            event.record(&mut self.clone());
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_line_of_raft_comes_out_with_its_level_target_and_values() {
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            let logger = logger().new(o!("raft_id" => 7));
            slog::warn!(logger, "became {}", "leader"; "term" => 3);
            slog::debug!(logger, "nobody listens to this");
        });
        let expected = ["raft_rs WARN", "message: became leader", "values: term=3 raft_id=7"];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }
}
