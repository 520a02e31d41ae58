//! How the live view looks. Draws what it is given and knows nothing else.

use super::account::Account;
use actors::model::{Database, MemberStatus, RecentDecision, Role, Server, Status};
use chaos::live::{Incident, Look};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table, Wrap};
use std::collections::VecDeque;

/// How many decisions fit without crowding out the rest.
const DECISIONS: usize = 8;

/// All that is shown.
pub(super) struct Scenery<'a> {
    pub(super) look: &'a Look,
    pub(super) names: Vec<&'a str>,
    /// Acknowledged writes per second.
    pub(super) rate: f64,
    pub(super) acknowledged: usize,
    pub(super) uncertain: u64,
    /// How often two databases accepted writes at once.
    pub(super) violations: usize,
    pub(super) incident: Option<&'a Incident>,
    pub(super) events: &'a VecDeque<String>,
}

pub(super) fn draw(frame: &mut Frame<'_>, scenery: &Scenery<'_>) {
    let members = u16::try_from(scenery.names.len()).unwrap_or(u16::MAX).saturating_add(3);
    let rows = [
        Constraint::Length(members),
        Constraint::Length(4),
        Constraint::Length(DECISIONS as u16 + 2),
        Constraint::Min(5),
        Constraint::Length(1),
    ];
    let [members, cluster, decisions, events, keys] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(draw_members(scenery), members);
    frame.render_widget(draw_cluster(scenery), cluster);
    frame.render_widget(draw_decisions(scenery), decisions);
    draw_events(frame, scenery, events);
    frame.render_widget(draw_keys(), keys);
}

fn draw_members<'a>(scenery: &'a Scenery<'_>) -> Table<'a> {
    let head = ["node", "role", "server", "timeline", "LSN", "lag", "lease left", "processes", "seen as"];
    let rows = scenery.names.iter().enumerate().map(|(index, name)| {
        let status = scenery.look.statuses.get(index).and_then(Option::as_ref);
        let [role, server, timeline, lsn, lag, lease, seen] =
            status.map_or_else(|| absent(scenery, index), |status| present(scenery, status));
        let style = match (status.map(|status| status.role), status.is_some_and(|status| status.writable)) {
            (_, true) => Style::new().fg(Color::Green).add_modifier(Modifier::BOLD),
            (Some(Role::Standby), _) => Style::new(),
            (None, _) => Style::new().fg(Color::Red),
            _ => Style::new().fg(Color::Yellow),
        };
        Row::new([(*name).to_owned(), role, server, timeline, lsn, lag, lease, processes(scenery.look.alive[index]), seen]).style(style)
    });
    let widths = [6, 9, 17, 8, 12, 10, 10, 20, 12].map(Constraint::Length);
    Table::new(rows, widths).header(Row::new(head).style(Style::new().dim())).block(Block::bordered().title(" members "))
}

/// Role, server, timeline, LSN, lag, lease, health.
fn present(scenery: &Scenery<'_>, status: &Status) -> [String; 7] {
    let position = status.database.as_ref().and_then(|database| database.position);
    let seen = member(scenery, status.node.0);
    let left = status.lease.end.filter(|_| status.writable).map(|end| end.since(scenery.look.at));
    [
        word(&status.role),
        status.database.as_ref().map_or_else(String::new, server),
        position.map_or_else(String::new, |position| position.timeline.to_string()),
        position.map_or_else(String::new, |position| position.lsn.to_string()),
        seen.and_then(|member| member.lag_bytes).map_or_else(String::new, |bytes| format!("{bytes} B")),
        left.map_or_else(String::new, |left| format!("{} ms", left.as_millis())),
        seen.map_or_else(String::new, |member| word(&member.health)),
    ]
}

fn absent(scenery: &Scenery<'_>, index: usize) -> [String; 7] {
    let seen = u64::try_from(index).ok().and_then(|index| member(scenery, index + 1));
    let health = seen.map_or_else(String::new, |member| word(&member.health));
    ["no answer".to_owned(), String::new(), String::new(), String::new(), String::new(), String::new(), health]
}

/// A member as the Raft leader sees it, or anybody else if that one does not answer.
fn member<'a>(scenery: &'a Scenery<'_>, node: u64) -> Option<&'a MemberStatus> {
    let others = || scenery.look.statuses.iter().flatten().filter(move |status| status.node.0 != node);
    let witness = others().find(|status| status.leader == Some(status.node)).or_else(|| others().next())?;
    witness.members.iter().find(|member| member.node.0 == node)
}

fn server(database: &Database) -> String {
    let busy = database.operation.as_ref().map(|operation| match operation.percent {
        Some(percent) => format!("{} {percent}%", operation.name),
        None => operation.name.clone(),
    });
    busy.unwrap_or_else(|| match database.server {
        Server::Standby if database.streaming => "streaming".to_owned(),
        server => word(&server),
    })
}

/// The word by which a thing goes in JSON, with blanks.
fn word(thing: &impl serde::Serialize) -> String {
    serde_json::to_value(thing).ok().and_then(|value| value.as_str().map(|word| word.replace('_', " "))).unwrap_or_default()
}

fn processes((daemon, guard, server): (bool, bool, bool)) -> String {
    let living = [("daemon", daemon), ("guard", guard), ("server", server)].into_iter().filter(|(_, lives)| *lives).map(|(name, _)| name);
    living.collect::<Vec<_>>().join(" ")
}

fn draw_cluster<'a>(scenery: &'a Scenery<'_>) -> Paragraph<'a> {
    let newest = scenery.look.statuses.iter().flatten().max_by_key(|status| status.term);
    let leader = newest.and_then(|status| status.leader).map_or_else(|| "nobody".to_owned(), |node| format!("n{node}"));
    let term = newest.map_or_else(String::new, |status| status.term.to_string());
    let epoch = scenery.look.state().map_or_else(String::new, |state| state.epoch.to_string());
    let raft = format!("Raft leader {leader}, term {term}; epoch {epoch}");
    let writes =
        format!("{:.0} acknowledged writes/s; {} so far, {} of unknown fate; ", scenery.rate, scenery.acknowledged, scenery.uncertain);
    let verdict = if scenery.violations == 0 {
        Span::from("two databases accepting writes at once: never").green()
    } else {
        Span::from(format!("TWO DATABASES ACCEPTED WRITES AT ONCE, {} times", scenery.violations)).red().bold()
    };
    Paragraph::new(vec![Line::from(raft), Line::from(vec![Span::from(writes), verdict])]).block(Block::bordered().title(" cluster "))
}

fn draw_decisions<'a>(scenery: &'a Scenery<'_>) -> Paragraph<'a> {
    let mut all: Vec<(&str, &RecentDecision)> = Vec::new();
    for status in scenery.look.statuses.iter().flatten() {
        all.extend(status.decisions.iter().map(|decision| (status.name.as_str(), decision)));
    }
    all.sort_by_key(|(_, decision)| decision.at);
    let newest = all.iter().rev().take(DECISIONS).rev();
    let lines = newest.map(|(name, decision)| {
        let time = time_of_day(decision.at.0);
        Line::from(vec![
            Span::from(format!("{time} {name} ")).dim(),
            Span::from(format!("{} ", decision.what)).bold(),
            Span::from(format!("[{}] {}", decision.why.rule, decision.why.because)),
        ])
    });
    Paragraph::new(lines.collect::<Vec<_>>()).block(Block::bordered().title(" last decisions, each with its rule and reason "))
}

fn time_of_day(millis: u64) -> String {
    let instant = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok()).unwrap_or_default();
    instant.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S%.3f").to_string()
}

fn draw_events(frame: &mut Frame<'_>, scenery: &Scenery<'_>, area: Rect) {
    let mut lines: Vec<String> = scenery.events.iter().cloned().collect();
    // What is under way, as far as it is known.
    lines.extend(scenery.incident.into_iter().flat_map(|incident| Account::of(incident).lines()));
    let room = usize::from(area.height.saturating_sub(2));
    let newest = lines.split_off(lines.len().saturating_sub(room));
    let text: Vec<Line<'_>> = newest.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(Block::bordered().title(" what happened ")), area);
}

fn draw_keys() -> Line<'static> {
    let keys = [
        ("k", "kill the server"),
        ("n", "kill the whole node"),
        ("f", "freeze it"),
        ("s", "switch over"),
        ("b", "bring it back"),
        ("q", "quit"),
    ];
    let spans = keys.into_iter().flat_map(|(key, what)| [Span::from(format!(" [{key}]")).bold(), Span::from(format!(" {what} "))]);
    Line::from(spans.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// What a terminal of that size shows.
    fn drawn(width: u16, height: u16, scenery: &Scenery<'_>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's terminal takes all");
        terminal.draw(|frame| draw(frame, scenery)).expect("a test's terminal takes all");
        terminal.backend().to_string()
    }

    #[test]
    fn nodes_that_do_not_answer_are_shown_with_what_still_lives_of_them() {
        let look = Look { at: chaos::live::now(), statuses: vec![None, None], alive: vec![(true, true, false), (false, true, true)] };
        let events = VecDeque::from(["it began".to_owned()]);
        let scenery = Scenery {
            look: &look,
            names: vec!["n1", "n2"],
            rate: 12.4,
            acknowledged: 34,
            uncertain: 5,
            violations: 0,
            incident: None,
            events: &events,
        };
        let shown = drawn(120, 30, &scenery);
        for words in ["n1", "no answer", "daemon guard ", "guard server", "12 acknowledged writes/s; 34 so far", "never", "it began", "[k]"]
        {
            assert!(shown.contains(words), "{words} is missing in\n{shown}");
        }
        assert!(drawn(120, 30, &Scenery { violations: 2, ..scenery }).contains("TWO DATABASES"));
        // A tiny terminal shows less and does not panic.
        drawn(
            10,
            3,
            &Scenery {
                look: &look,
                names: vec!["n1", "n2"],
                rate: 0.0,
                acknowledged: 0,
                uncertain: 0,
                violations: 0,
                incident: None,
                events: &events,
            },
        );
    }
}
