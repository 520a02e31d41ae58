//! Faults one after the other, without a terminal, and the verdict.

use super::Stage;
use super::account::{Account, headline};
use anyhow::Result;
use chaos::live::{Fault, Incident};
use serde::Serialize;
use std::time::Duration;
use tokio::time::sleep;

/// Within this a cluster must have healed after a fault.
const HEAL: Duration = Duration::from_secs(90);
/// Between two faults, so that there is something to lose.
const CALM: Duration = Duration::from_secs(1);

/// What a script has shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    witch: String,
    postgres: String,
    nodes: usize,
    incidents: Vec<Account>,
    writes_acknowledged: usize,
    writes_lost: usize,
    writes_duplicated: usize,
    /// Where two databases accepted writes at once, in words.
    two_writers: Vec<String>,
    /// Two primaries never accepted writes, and nothing acknowledged was lost where the rules forbid it.
    pub(super) ok: bool,
}

impl Verdict {
    pub(super) fn in_words(&self) -> String {
        let two_writers = if self.two_writers.is_empty() { "never".to_owned() } else { self.two_writers.join("; ") };
        let word = if self.ok { "kept" } else { "BROKEN" };
        format!(
            "acknowledged writes: {}, lost: {}, doubled: {}\ntwo databases accepting writes at once: {two_writers}\nthe rules were {word}\n",
            self.writes_acknowledged, self.writes_lost, self.writes_duplicated
        )
    }
}

/// Plays the script and tells on standard error how it goes.
pub(super) async fn play(stage: &Stage, faults: &[Fault]) -> Result<Verdict> {
    let mut incidents = Vec::new();
    let mut lost_before = 0;
    for &fault in faults {
        stage.cluster.await_settled(HEAL).await?;
        sleep(CALM).await;
        let mut incident = Incident::cause(&stage.cluster, fault).await?;
        eprintln!("{}", headline(&fault.to_string(), incident.node.0));
        incident.follow(&stage.cluster, &stage.writer, HEAL).await?;
        let lost = stage.writer.reconcile().await?.lost.len();
        incident.lost = Some(lost.saturating_sub(lost_before));
        lost_before = lost;
        let account = Account::of(&incident);
        for line in account.lines() {
            eprintln!("{line}");
        }
        incidents.push(account);
    }
    let reconciled = stage.writer.reconcile().await?;
    let two_writers: Vec<String> = stage.watch.violations().iter().map(ToString::to_string).collect();
    let kept = incidents.iter().all(Account::keeps_the_rules) && reconciled.duplicated == 0;
    Ok(Verdict {
        witch: env!("CARGO_PKG_VERSION").to_owned(),
        postgres: stage.cluster.programs().postgres_version()?,
        nodes: stage.cluster.nodes().len(),
        writes_acknowledged: reconciled.acknowledged,
        writes_lost: reconciled.lost.len(),
        writes_duplicated: reconciled.duplicated,
        ok: kept && two_writers.is_empty() && !stage.watch.history().is_empty(),
        incidents,
        two_writers,
    })
}
