//! What the nemesis really did, step by step. Pure.

use crate::history::{Event, History};
use crate::nemesis::{Fault, Step};
use actors::machine::Timestamp;

/// One step of the schedule.
#[derive(Clone, Debug)]
pub(super) struct Deed<'a> {
    pub(super) number: usize,
    pub(super) step: &'a Step,
    pub(super) title: String,
    /// Names of the victims.
    pub(super) victims: String,
    /// When it was done, or found impossible. None: the run ended before.
    pub(super) at: Option<Timestamp>,
    /// When it was repaired.
    pub(super) repaired: Option<Timestamp>,
    /// Why it was not done.
    pub(super) spared: Option<String>,
    pub(super) remark: Option<String>,
}

impl Deed<'_> {
    pub(super) const fn was_done(&self) -> bool {
        self.at.is_some() && self.spared.is_none()
    }
}

/// All steps, in their order.
pub(super) fn deeds(history: &History) -> Vec<Deed<'_>> {
    let steps = &history.setting.schedule.steps;
    let mut deeds: Vec<Deed<'_>> = steps
        .iter()
        .enumerate()
        .map(|(number, step)| Deed {
            number,
            step,
            title: step.fault.title(),
            victims: String::new(),
            at: None,
            repaired: None,
            spared: None,
            remark: None,
        })
        .collect();
    for record in &history.records {
        match &record.event {
            Event::Inflicted { step, began, nodes, remark, .. } => {
                let Some(deed) = deeds.get_mut(*step) else { continue };
                let names: Vec<String> = nodes.iter().map(|&node| history.name(node)).collect();
                (deed.at, deed.victims, deed.remark) = (Some(*began), names.join(", "), remark.clone());
            }
            Event::Spared { step, why, .. } => {
                let Some(deed) = deeds.get_mut(*step) else { continue };
                (deed.at, deed.spared) = (Some(record.at), Some(why.clone()));
            }
            Event::Repaired { step } => {
                if let Some(deed) = deeds.get_mut(*step) {
                    deed.repaired = Some(record.at);
                }
            }
            _ => {}
        }
    }
    deeds
}

/// The colour of a kind of fault.
pub(super) const fn colour(fault: &Fault) -> &'static str {
    match fault {
        Fault::Kill { .. } | Fault::KillAllBut { .. } | Fault::KillAll => "#c8412f",
        Fault::Stop { .. } => "#d9822b",
        Fault::Cut { .. } => "#7a4fbf",
        Fault::Slow { .. } | Fault::Disk { .. } | Fault::Press { .. } => "#a8842c",
        Fault::Empty { .. } => "#7b2d3b",
        Fault::SetClock { .. } => "#2a8c8c",
        Fault::SwitchOver | Fault::RestartDaemons | Fault::Pause => "#3b6fc4",
    }
}
