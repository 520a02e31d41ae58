//! The page around the picture. It is one file and asks the network for nothing.

use super::deeds::{colour, deeds};
use super::outages::{Distribution, by_fault, by_step, outages};
use super::picture::escape;
use crate::checkers::{Verdict, lost};
use crate::history::{Event, History};
use actors::machine::Timestamp;
use std::fmt::Write as _;
use std::time::Duration;

const STYLE: &str = include_str!("page.css");
/// The strip of a distribution: its width, and the waits at its two ends.
const STRIP: f64 = 180.0;
const STRIP_SECONDS: (f64, f64) = (0.01, 100.0);

/// Writes it.
pub(super) fn write(history: &History, verdicts: &[Verdict], picture: &str) -> String {
    let seed = history.setting.schedule.seed;
    let mut page = String::new();
    line(&mut page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    line(&mut page, "<meta name=\"viewport\" content=\"width=device-width\">");
    line(&mut page, &format!("<title>Witch, chaos run of seed {seed}</title><style>{STYLE}</style></head><body>"));
    line(&mut page, &format!("<h1>Chaos run of seed {seed}</h1>"));
    let setting = &history.setting;
    let nodes = setting.nodes.len();
    line(
        &mut page,
        &format!(
            "<p class=\"quiet\">{} &middot; {} &middot; {nodes} nodes on {}</p>",
            escape(&setting.witch),
            escape(&setting.postgres),
            escape(&setting.hosts)
        ),
    );
    banner(&mut page, verdicts);
    figures(&mut page, history);
    line(&mut page, "<h2>What happened</h2>");
    line(&mut page, &format!("<div class=\"panel\">{picture}</div>"));
    verdict_table(&mut page, verdicts);
    outage_table(&mut page, &by_fault(history));
    schedule_table(&mut page, history);
    decision_table(&mut page, history);
    line(
        &mut page,
        "<h2>Again</h2><p>The same faults at the same times, with victims chosen by the same roles; what the cluster makes of them is its own affair:</p>",
    );
    line(
        &mut page,
        "<pre>chaos run --witch target/release/witch --replay history.jsonl   # the schedule is in the history\n\
         chaos check history.jsonl                                       # judge it again, and make this page anew</pre></body></html>",
    );
    page
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn banner(page: &mut String, verdicts: &[Verdict]) {
    let broken = verdicts.iter().filter(|verdict| !verdict.holds()).count();
    if broken == 0 {
        line(page, &format!("<div class=\"banner good\">All {} claims hold</div>", verdicts.len()));
    } else {
        line(page, &format!("<div class=\"banner bad\">{broken} of {} claims are broken</div>", verdicts.len()));
    }
}

fn figures(page: &mut String, history: &History) {
    let acknowledged = history.records.iter().filter(|record| matches!(record.event, Event::Acknowledged { .. })).count();
    let unsure = history.records.iter().filter(|record| matches!(record.event, Event::Unsure { .. })).count();
    let done = deeds(history).iter().filter(|deed| deed.was_done()).count();
    let outages = outages(history);
    let out: Duration = outages.iter().map(super::Outage::duration).sum();
    let longest = outages.iter().map(super::Outage::duration).max().unwrap_or_default();
    let figures = [
        (done.to_string(), "faults"),
        (acknowledged.to_string(), "changes acknowledged"),
        (lost(history).map_or_else(|| "?".to_owned(), |lost| lost.to_string()), "of them lost"),
        (unsure.to_string(), "of unknown fate"),
        (outages.len().to_string(), "outages above 0.5 s"),
        (seconds(longest), "the longest"),
        (seconds(out), "all together"),
    ];
    line(page, "<div class=\"figures\">");
    for (figure, what) in figures {
        line(page, &format!("<div class=\"figure\"><b>{figure}</b><span>{what}</span></div>"));
    }
    line(page, "</div>");
}

fn verdict_table(page: &mut String, verdicts: &[Verdict]) {
    line(
        page,
        "<h2>Verdicts</h2><div class=\"panel\"><table><tr><th></th><th>claim</th><th>rules</th><th class=\"number\">checked</th></tr>",
    );
    for verdict in verdicts {
        let (class, mark) = if verdict.holds() { ("holds", "holds") } else { ("broken", "BROKEN") };
        let mut claim = escape(verdict.claim);
        if !verdict.holds() {
            claim.push_str("<ul>");
            for violation in &verdict.violations {
                write!(claim, "<li>{}</li>", escape(violation)).expect("a string takes all");
            }
            claim.push_str("</ul>");
        }
        let (rules, checked) = (verdict.rules, verdict.checked);
        line(
            page,
            &format!("<tr><td class=\"mark {class}\">{mark}</td><td>{claim}</td><td>{rules}</td><td class=\"number\">{checked}</td></tr>"),
        );
    }
    line(page, "</table></div>");
}

fn outage_table(page: &mut String, distributions: &[Distribution]) {
    line(
        page,
        "<h2>Outages by fault</h2><p class=\"quiet\">The longest wait between two acknowledged writes of the client that follows the primary, from each fault until the next one. \
         The strip goes from 10 ms to 100 s, each line is a factor of ten.</p><div class=\"panel\"><table>\
         <tr><th>fault</th><th class=\"number\">count</th><th class=\"number\">median</th><th class=\"number\">p90</th><th class=\"number\">max</th><th>distribution</th></tr>",
    );
    for distribution in distributions {
        let wait = |percent| seconds(distribution.percentile(percent));
        line(
            page,
            &format!(
                "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
                escape(&distribution.title),
                distribution.waits.len(),
                wait(50),
                wait(90),
                wait(100),
                strip(&distribution.waits)
            ),
        );
    }
    line(page, "</table></div>");
}

/// Each wait as a dot on a logarithmic line.
fn strip(waits: &[Duration]) -> String {
    let mut svg = format!("<svg width=\"{STRIP}\" height=\"16\" role=\"img\">");
    let decades = (STRIP_SECONDS.1 / STRIP_SECONDS.0).log10();
    for decade in 0..=4_u32 {
        let x = 4.0 + (STRIP - 8.0) * f64::from(decade) / decades;
        write!(svg, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"1\" y2=\"15\" stroke=\"#e2e5ea\"/>").expect("a string takes all");
    }
    for wait in waits {
        let place = (wait.as_secs_f64().clamp(STRIP_SECONDS.0, STRIP_SECONDS.1) / STRIP_SECONDS.0).log10() / decades;
        let x = 4.0 + (STRIP - 8.0) * place;
        write!(svg, "<circle cx=\"{x:.1}\" cy=\"8\" r=\"4\" fill=\"#b8382b\" fill-opacity=\"0.55\"/>").expect("a string takes all");
    }
    svg.push_str("</svg>");
    svg
}

fn schedule_table(page: &mut String, history: &History) {
    line(
        page,
        "<h2>Schedule</h2><div class=\"panel\"><table><tr><th class=\"number\">#</th><th class=\"number\">planned</th><th class=\"number\">done</th><th>fault</th><th>victims</th>\
         <th class=\"number\">lasted</th><th class=\"number\">longest wait</th><th>remark</th></tr>",
    );
    let waits = by_step(history);
    for deed in deeds(history) {
        let planned = clock(Duration::from_millis(deed.step.at_ms));
        let done = deed.at.map_or_else(|| "-".to_owned(), |at| since(history, at));
        let lasted = match (deed.at, deed.repaired) {
            (Some(at), Some(repaired)) => seconds(repaired.since(at)),
            _ => "-".to_owned(),
        };
        let wait = waits.get(&deed.number).map_or_else(|| "-".to_owned(), |&wait| seconds(wait));
        let remark = match (&deed.spared, &deed.remark) {
            (Some(why), _) => format!("not done: {why}"),
            (None, remark) => remark.clone().unwrap_or_default(),
        };
        let class = if deed.was_done() { "" } else { " class=\"quiet\"" };
        line(
            page,
            &format!(
                "<tr{class}><td class=\"number\">{}</td><td class=\"number\">{planned}</td><td class=\"number\">{done}</td>\
                 <td><span class=\"swatch\" style=\"background:{}\"></span>{}</td><td>{}</td><td class=\"number\">{lasted}</td><td class=\"number\">{wait}</td><td>{}</td></tr>",
                deed.number + 1,
                colour(&deed.step.fault),
                escape(&deed.title),
                escape(&deed.victims),
                escape(&remark)
            ),
        );
    }
    line(page, "</table></div>");
    for lacking in &history.setting.lacking {
        line(page, &format!("<p class=\"quiet\">Left out: {}</p>", escape(lacking)));
    }
}

fn decision_table(page: &mut String, history: &History) {
    line(
        page,
        "<h2>What Witch decided</h2><div class=\"panel\"><table><tr><th class=\"number\">seen</th><th class=\"number\">epoch</th><th>event</th></tr>",
    );
    for record in &history.records {
        if let Event::Decided { entry } = &record.event {
            let mut told = serde_json::to_value(&entry.kind).unwrap_or_default();
            let event = told.get("event").and_then(|event| event.as_str()).unwrap_or_default().replace('_', " ");
            if let Some(keys) = told.as_object_mut() {
                keys.remove("event");
            }
            let keys = told.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            let words: Vec<String> =
                keys.map(|(key, value)| format!("{key} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
            line(
                page,
                &format!(
                    "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td><b>{}</b> <span class=\"quiet\">{}</span></td></tr>",
                    since(history, record.at),
                    entry.epoch,
                    escape(&event),
                    escape(&words.join(" \u{b7} "))
                ),
            );
        }
    }
    line(page, "</table></div>");
}

fn since(history: &History, at: Timestamp) -> String {
    clock(at.since(history.began))
}

fn clock(passed: Duration) -> String {
    let tenths = passed.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { format!("{} ms", duration.as_millis()) } else { format!("{:.1} s", duration.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_for_people() {
        assert_eq!(clock(Duration::from_millis(83_450)), "1:23.4");
        assert_eq!([seconds(Duration::from_millis(640)), seconds(Duration::from_millis(1_260))], ["640 ms", "1.3 s"]);
    }

    #[test]
    fn what_a_program_said_cannot_break_the_page() {
        assert_eq!(escape("<b>&\"x\""), "&lt;b&gt;&amp;&quot;x&quot;");
    }
}
