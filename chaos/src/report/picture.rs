//! The picture of a run: time goes to the right, and below each other stand the faults, the nodes, and the acknowledged writes.
//!
//! A node's lane is solid while its database accepts writes, pale while it streams, grey while it does neither, and hatched while its daemon does not
//! answer; the gold line below is its lease, the dark one above is Raft's leadership. Red bands are outages of the client that follows the
//! primary. The SVG is written by hand: it is rectangles, lines and text.

use super::deeds::{colour, deeds};
use super::outages::outages;
use super::scale::{GUTTER, Scale, node_colour};
use crate::history::{Event, History, Look};
use actors::machine::Timestamp;
use actors::model::NodeId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

const AXIS_HEIGHT: f64 = 26.0;
const FAULT_HEIGHT: f64 = 17.0;
const LANE_HEIGHT: f64 = 34.0;
const LANE_GAP: f64 = 10.0;
const CHART_HEIGHT: f64 = 96.0;
const LEGEND_HEIGHT: f64 = 30.0;
/// About what a letter of a label takes.
const LETTER: f64 = 5.6;
/// A look is believed for so long at most.
const LOOK_LASTS: Duration = Duration::from_millis(2_500);
/// Of the bars of the chart.
const BUCKET: Duration = Duration::from_millis(100);

/// Draws it.
pub(super) fn draw(history: &History) -> String {
    let scale = Scale::of(history);
    let mut canvas = Canvas { body: String::new(), y: 0.0, scale };
    canvas.y += AXIS_HEIGHT;
    canvas.faults(history);
    let lanes_top = canvas.y;
    canvas.nodes(history);
    canvas.chart(history);
    let bottom = canvas.y;
    let mut behind = Canvas { body: String::new(), y: 0.0, scale };
    behind.axis(bottom);
    behind.outages(history, lanes_top, bottom);
    canvas.legend(history);
    let (width, height) = (scale.picture_width(), canvas.y);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\" font-size=\"10.5\" fill=\"#3a3f47\">\
         <defs><pattern id=\"silent\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#eceef1\"/><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#b9bec7\" stroke-width=\"2.4\"/></pattern></defs>\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}</svg>\n",
        behind.body, canvas.body
    )
}

/// Text that may stand in XML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What is drawn so far, and where the next thing goes.
struct Canvas {
    body: String,
    y: f64,
    scale: Scale,
}

impl Canvas {
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("a string takes all");
        self.body.push('\n');
    }

    fn bar(&mut self, (from, until): (f64, f64), (y, height): (f64, f64), fill: &str, tip: &str) {
        let width = (until - from).max(0.6);
        let tip = escape(tip);
        self.put(format_args!(
            "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"><title>{tip}</title></rect>"
        ));
    }

    fn name(&mut self, y: f64, text: &str, colour: &str) {
        let x = GUTTER - 10.0;
        let text = escape(text);
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" font-weight=\"600\" fill=\"{colour}\">{text}</text>"));
    }

    fn axis(&mut self, bottom: f64) {
        let tick = self.scale.tick();
        let mut second = 0;
        while Duration::from_secs(second) <= self.scale.length() {
            let x = self.scale.x_after(Duration::from_secs(second));
            self.put(format_args!("<line x1=\"{x:.1}\" y1=\"{AXIS_HEIGHT}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#eef0f3\"/>"));
            let (minutes, seconds) = (second / 60, second % 60);
            self.put(format_args!(
                "<text x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\" fill=\"#8a909a\" font-size=\"10\">{minutes}:{seconds:02}</text>"
            ));
            second += tick;
        }
    }

    fn outages(&mut self, history: &History, top: f64, bottom: f64) {
        for outage in outages(history) {
            let (from, until) = (self.scale.x(outage.from), self.scale.x(outage.until));
            let seconds = outage.duration().as_secs_f64();
            self.bar((from, until), (top - 4.0, bottom - top + 4.0), "#fbdcd8", &format!("no write was acknowledged for {seconds:.2} s"));
            if seconds >= 1.0 {
                let middle = f64::midpoint(from, until);
                let y = bottom - CHART_HEIGHT + 9.0;
                self.put(format_args!(
                    "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#b3372b\" font-size=\"9.5\">{seconds:.1} s</text>"
                ));
            }
        }
    }

    /// Each fault on the first row where it and its label do not touch another.
    fn faults(&mut self, history: &History) {
        let top = self.y;
        let mut rows: Vec<f64> = Vec::new();
        for deed in deeds(history).iter().filter(|deed| deed.was_done()) {
            let Some(at) = deed.at else { continue };
            let from = self.scale.x(at);
            let until = self.scale.x(deed.repaired.unwrap_or(at)).max(from + 3.0);
            let label = format!("{} {}", deed.number + 1, short(&deed.title, &deed.victims));
            let letters = f64::from(u32::try_from(label.chars().count()).unwrap_or(0));
            let row = rows.iter().position(|&end| end + 8.0 < from).unwrap_or_else(|| {
                rows.push(0.0);
                rows.len() - 1
            });
            rows[row] = until + 5.0 + letters * LETTER;
            let y = top + FAULT_HEIGHT * f64::from(u32::try_from(row).unwrap_or(0));
            let tip = format!("{}: {} ({})", deed.number + 1, deed.title, deed.victims);
            self.bar((from, until), (y, FAULT_HEIGHT - 5.0), colour(&deed.step.fault), &tip);
            let (x, baseline, label) = (until + 4.0, y + FAULT_HEIGHT - 7.5, escape(&label));
            self.put(format_args!("<text x=\"{x:.1}\" y=\"{baseline:.1}\">{label}</text>"));
        }
        self.name(top + FAULT_HEIGHT - 7.5, "faults", "#3a3f47");
        self.y = top + FAULT_HEIGHT * f64::from(u32::try_from(rows.len().max(1)).unwrap_or(1)) + LANE_GAP;
    }

    fn nodes(&mut self, history: &History) {
        for (place, (node, name)) in history.setting.nodes.iter().enumerate() {
            let y = self.y;
            let hue = node_colour(place);
            self.name(y + LANE_HEIGHT / 2.0 + 4.0, name, hue);
            for stretch in stretches(history, *node) {
                let span = (self.scale.x(stretch.from), self.scale.x(stretch.until));
                let pale = format!("{hue}\" fill-opacity=\"0.22");
                let (fill, words) = match stretch.state {
                    State::Primary => (hue, "primary"),
                    State::Standby => (pale.as_str(), "standby"),
                    State::Neither => ("#dfe2e7", "neither writes nor streams"),
                    State::Silent => ("url(#silent)", "its daemon does not answer"),
                };
                self.bar(span, (y + 4.0, LANE_HEIGHT - 10.0), fill, &format!("{name}: {words}"));
                if stretch.leased {
                    self.bar(span, (y + LANE_HEIGHT - 5.0, 4.0), "#e0ab1f", &format!("{name} holds the lease"));
                }
                if stretch.leads {
                    self.bar(span, (y, 3.0), "#4a4f5a", &format!("{name} leads Raft"));
                }
            }
            self.y += LANE_HEIGHT + LANE_GAP;
        }
    }

    /// Acknowledged writes per 100 ms, stacked by who acknowledged them.
    fn chart(&mut self, history: &History) {
        let (top, bottom) = (self.y, self.y + CHART_HEIGHT);
        let mut buckets: BTreeMap<u128, Vec<u32>> = BTreeMap::new();
        let places: BTreeMap<NodeId, usize> = history.setting.nodes.iter().enumerate().map(|(place, (node, _))| (*node, place)).collect();
        for record in &history.records {
            if let Event::Acknowledged { stamp, .. } = &record.event
                && let Some(&place) = places.get(&stamp.node)
            {
                let bucket = stamp.ended.since(history.began).as_millis() / BUCKET.as_millis();
                buckets.entry(bucket).or_insert_with(|| vec![0; places.len()])[place] += 1;
            }
        }
        let highest = buckets.values().map(|counts| counts.iter().sum::<u32>()).max().unwrap_or(1).max(1);
        let unit = (CHART_HEIGHT - 14.0) / f64::from(highest);
        let width = (self.scale.x_after(BUCKET) - GUTTER).max(0.5);
        for place in 0..places.len() {
            let mut path = String::new();
            for (&bucket, counts) in &buckets {
                let below: u32 = counts[..place].iter().sum();
                let count = counts[place];
                if count > 0 {
                    let passed = BUCKET * u32::try_from(bucket).unwrap_or(u32::MAX);
                    let x = self.scale.x_after(passed) + width / 2.0;
                    let (from, rise) = (bottom - unit * f64::from(below), unit * f64::from(count));
                    write!(path, "M{x:.1} {from:.1}v-{rise:.1}").expect("a string takes all");
                }
            }
            let hue = node_colour(place);
            self.put(format_args!("<path d=\"{path}\" stroke=\"{hue}\" stroke-width=\"{width:.2}\" fill=\"none\"/>"));
        }
        let (left, right) = (GUTTER, self.scale.right());
        self.put(format_args!("<line x1=\"{left:.1}\" y1=\"{bottom:.1}\" x2=\"{right:.1}\" y2=\"{bottom:.1}\" stroke=\"#9aa0aa\"/>"));
        self.name(top + CHART_HEIGHT / 2.0, "acknowledged", "#3a3f47");
        self.name(top + CHART_HEIGHT / 2.0 + 13.0, "per 100 ms", "#3a3f47");
        let x = GUTTER - 10.0;
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#8a909a\" font-size=\"9.5\">{highest}</text>",
            top + 18.0
        ));
        self.y = bottom;
    }

    fn legend(&mut self, history: &History) {
        let y = self.y + 12.0;
        let hue = history.setting.nodes.first().map_or("#888888", |_| node_colour(0));
        let pale = format!("{hue}\" fill-opacity=\"0.22");
        let entries = [
            (hue, "accepts writes"),
            (pale.as_str(), "streams"),
            ("#dfe2e7", "neither"),
            ("url(#silent)", "daemon silent"),
            ("#e0ab1f", "lease held"),
            ("#4a4f5a", "leads Raft"),
            ("#fbdcd8", "no write acknowledged"),
        ];
        let mut x = GUTTER;
        for (fill, words) in entries {
            self.bar((x, x + 16.0), (y, 9.0), fill, words);
            self.put(format_args!("<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#5b616b\">{words}</text>", x + 21.0, y + 8.5));
            x += 40.0 + LETTER * f64::from(u32::try_from(words.len()).unwrap_or(0));
        }
        self.y += LEGEND_HEIGHT;
    }
}

/// A title with its victims in place of their role.
fn short(title: &str, victims: &str) -> String {
    let (what, _) = title.split_once(", of ").unwrap_or((title, ""));
    let (what, _) = what.split_once(" of ").unwrap_or((what, ""));
    if victims.is_empty() || victims.contains(',') { what.to_owned() } else { format!("{what}: {victims}") }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Primary,
    Standby,
    Neither,
    Silent,
}

/// A time in which nothing changed on a node.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Timestamp,
    until: Timestamp,
    state: State,
    leased: bool,
    leads: bool,
}

/// What a node said of itself, looks that say the same drawn together.
fn stretches(history: &History, node: NodeId) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for record in &history.records {
        let Event::Looked { node: of, look } = &record.event else { continue };
        if *of != node {
            continue;
        }
        let (state, leased, leads) = read(look.as_ref(), node);
        if let Some(last) = stretches.last_mut() {
            last.until = record.at.min(last.until + LOOK_LASTS);
            if (last.state, last.leased, last.leads) == (state, leased, leads) && last.until == record.at {
                continue;
            }
        }
        stretches.push(Stretch { from: record.at, until: record.at, state, leased, leads });
    }
    stretches
}

fn read(look: Option<&Look>, node: NodeId) -> (State, bool, bool) {
    let Some(look) = look else { return (State::Silent, false, false) };
    let state = match (look.writable, look.readable) {
        (true, _) => State::Primary,
        (false, true) => State::Standby,
        (false, false) => State::Neither,
    };
    (state, look.lease_end.is_some_and(|end| end > look.said_at), look.leader == Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_names_the_victims_and_not_their_role() {
        assert_eq!(short("server killed, of the primary", "n1"), "server killed: n1");
        assert_eq!(short("slow network of a standby", "n2"), "slow network: n2");
        assert_eq!(short("power-off, cold start", "n1, n2, n3"), "power-off, cold start");
    }
}
