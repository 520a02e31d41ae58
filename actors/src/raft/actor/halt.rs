//! The way to end the process: some failures are not restarted around.

use tokio::sync::mpsc;

/// Whoever holds this can end the process. The first reason counts.
#[derive(Clone, Debug)]
pub struct Halt(mpsc::Sender<String>);

impl Halt {
    /// The handle, and what the life of the process waits on.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Ends the process with this message. Never waits, and may be called from any thread.
    pub fn order(&self, reason: String) {
        // Full: somebody gave a reason before. Closed: the process is ending already.
        let _ = self.0.try_send(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_counts() {
        let (halt, mut halted) = Halt::channel();
        halt.order("the disk is full".to_owned());
        halt.order("and then everything else broke".to_owned());
        assert_eq!(halted.try_recv().as_deref(), Ok("the disk is full"));
        assert!(halted.try_recv().is_err());
    }
}
