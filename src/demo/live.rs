//! The live view: looks at the cluster several times a second, and does what the keys say.

use super::Stage;
use super::account::{Account, headline};
use super::screen::{self, Scenery};
use anyhow::{Context, Result};
use chaos::live::{Fault, Incident, Look};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);
/// How often the thread that waits for keys looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// Over which the rate of writes is told.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// How many lines of the log of events are kept.
const EVENTS_MAX: usize = 200;

/// Something that takes a while and must not stop the picture.
type Task<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

enum Outcome {
    Caused(Result<Box<Incident>>),
    Counted(Result<usize>),
}

/// Shows the cluster until somebody quits.
pub(super) async fn show(stage: &Stage) -> Result<()> {
    let mut keys = listen();
    let mut terminal = ratatui::try_init().context("cannot draw on this terminal")?;
    let _restore = Restore;
    let mut view = View::new(stage);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            key = keys.recv() => match key {
                None | Some(KeyCode::Char('q')) => return Ok(()),
                Some(key) => view.press(key),
            },
            outcome = run(&mut view.task) => view.end(outcome),
            _ = tick.tick() => {
                let look = stage.cluster.look().await;
                view.see(&look);
                let scenery = view.scenery(&look);
                terminal.draw(|frame| screen::draw(frame, &scenery)).context("cannot draw on this terminal")?;
            }
        }
    }
}

/// Gives the terminal back, also on the way out of an error.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Keys come from a thread of their own, because reading them blocks; it ends when nobody listens any more.
fn listen() -> Receiver<KeyCode> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let Ok(true) = event::poll(KEY_WAIT) else { continue };
            let Ok(Event::Key(key)) = event::read() else { continue };
            // In this mode the terminal does not turn Ctrl-C into a signal.
            let interrupted = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            let code = if interrupted { KeyCode::Char('q') } else { key.code };
            // A full queue means that nobody can see what the keys do: dropping one is kinder than saving it up.
            if key.kind == KeyEventKind::Press {
                sender.try_send(code).ok();
            }
        }
    });
    receiver
}

async fn run(task: &mut Option<Task<'_>>) -> Outcome {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

struct View<'a> {
    stage: &'a Stage,
    incident: Option<Box<Incident>>,
    task: Option<Task<'a>>,
    /// Faults that nobody has repaired yet, each with its node.
    broken: Vec<(Fault, usize)>,
    lost_before: usize,
    events: VecDeque<String>,
}

impl<'a> View<'a> {
    fn new(stage: &'a Stage) -> Self {
        let mut view = Self { stage, incident: None, task: None, broken: Vec::new(), lost_before: 0, events: VecDeque::new() };
        view.tell("one primary, and all others stream from it; a client writes all the time".to_owned());
        view
    }

    fn tell(&mut self, line: String) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(line);
    }

    fn press(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('k') => self.cause(Fault::Crash),
            KeyCode::Char('n') => self.cause(Fault::Kill),
            KeyCode::Char('f') => self.cause(Fault::Freeze),
            KeyCode::Char('s') => self.cause(Fault::Switchover),
            KeyCode::Char('b') => self.bring_back(),
            _ => {}
        }
    }

    fn cause(&mut self, fault: Fault) {
        if self.task.is_some() {
            self.tell("one thing at a time: something is still under way".to_owned());
            return;
        }
        if let Some(incident) = self.incident.take() {
            self.tell_account(&incident);
        }
        let stage = self.stage;
        self.task = Some(Box::pin(async move { Outcome::Caused(Incident::cause(&stage.cluster, fault).await.map(Box::new)) }));
    }

    fn bring_back(&mut self) {
        if self.broken.is_empty() {
            self.tell("nothing has to be brought back".to_owned());
        }
        for (fault, node) in std::mem::take(&mut self.broken) {
            let name = self.stage.cluster.node(node).name();
            match fault.repair(&self.stage.cluster, node) {
                Ok(()) => self.tell(format!("{name} is brought back; the rest is up to Witch")),
                Err(error) => self.tell(format!("{name} cannot be brought back: {error:#}")),
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.task = None;
        match outcome {
            Outcome::Caused(Ok(incident)) => {
                self.tell(headline(&incident.fault.to_string(), incident.node.0));
                let node = self.stage.cluster.index_of(incident.node);
                if let (Fault::Kill | Fault::Freeze | Fault::Cut, Ok(node)) = (incident.fault, node) {
                    self.broken.push((incident.fault, node));
                    self.tell("  press [b] to bring it back".to_owned());
                }
                self.incident = Some(incident);
            }
            Outcome::Caused(Err(error)) => self.tell(format!("that did not work: {error:#}")),
            Outcome::Counted(counted) => {
                let Some(mut incident) = self.incident.take() else { return };
                match counted {
                    Ok(lost) => {
                        incident.lost = Some(lost.saturating_sub(self.lost_before));
                        self.lost_before = lost;
                    }
                    Err(error) => self.tell(format!("the lost writes could not be counted: {error:#}")),
                }
                self.tell_account(&incident);
            }
        }
    }

    fn tell_account(&mut self, incident: &Incident) {
        for line in Account::of(incident).lines() {
            self.tell(line);
        }
    }

    fn see(&mut self, look: &Look) {
        let Some(incident) = &mut self.incident else { return };
        incident.observe(look, &self.stage.writer);
        if incident.is_over() && self.task.is_none() {
            let stage = self.stage;
            self.task = Some(Box::pin(async move { Outcome::Counted(stage.writer.reconcile().await.map(|told| told.lost.len())) }));
        }
    }

    fn scenery<'b>(&'b self, look: &'b Look) -> Scenery<'b> {
        let (acknowledged, uncertain) = {
            let ledger = self.stage.writer.ledger();
            (ledger.writes().len(), ledger.uncertain())
        };
        Scenery {
            look,
            names: self.stage.cluster.nodes().iter().map(chaos::live::Node::name).collect(),
            rate: self.stage.writer.rate(RATE_WINDOW),
            acknowledged,
            uncertain,
            violations: self.stage.watch.violations().len(),
            incident: self.incident.as_deref(),
            events: &self.events,
        }
    }
}
