//! What is written in `docs/` and in the README about things that the code decides, compared with the code.
//!
//! A difference is a failure; `BLESS=1 cargo test -p actors --test documents` (or `make fix`) writes what the code says.

use actors::fsm;
use actors::model::Bar;
use actors::pg::conditions;
use actors::pg::owned::{Applies, OWNED, Value};
use actors::pg::pins::{By, PINS};
use actors::pg::plan;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What the README shows whole.
const SHOWN: [&str; 5] = [
    "deploy/example/db1.toml",
    "deploy/example/db2.toml",
    "deploy/example/db3.toml",
    "deploy/systemd/witch.service",
    "deploy/haproxy/witch.cfg",
];

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The file has to be this text; if it is not, it is made so when `BLESS` is set.
fn must_be(path: &str, text: &str) {
    if fs::read_to_string(at(path)).is_ok_and(|found| found == text) {
        return;
    }
    assert!(
        std::env::var_os("BLESS").is_some(),
        "{path} is not what the code says: run `make fix`, look at the difference, and commit it if you can explain it"
    );
    fs::write(at(path), text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
}

#[test]
fn the_rules_are_those_of_the_code() {
    must_be("docs/rules.md", &fsm::document());
}

#[test]
fn the_settings_are_those_of_the_code() {
    must_be("docs/postgresql.md", &postgresql());
}

#[test]
fn the_troubles_are_those_of_the_code() {
    must_be("docs/troubles.md", &troubles());
}

/// `docs/troubles.md`.
fn troubles() -> String {
    let mut out = String::from(
        "# Troubles\n\n\
         Generated from `actors/src/pg/conditions/`; do not edit. Each row is what `witch status`, `/health` and the reason of a refused switchover\n\
         say when something about a database or its surroundings is not as it should be.\n\n\
         | id | how it shows | what it means | keeps the node from | way out |\n|---|---|---|---|---|\n",
    );
    for row in conditions::rows() {
        let bars = match row.bars {
            Bar::Nothing => "nothing",
            Bar::Streaming => "streaming, comparing, cloning",
            Bar::AmongEquals => "being appointed before another candidate that is as far",
            Bar::LastChoice => "being appointed while another candidate is left",
            Bar::Promotion => "being appointed",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} | {bars} | {} |", row.id, row.sign, row.meaning, row.way_out);
    }
    out
}

/// `docs/postgresql.md`.
fn postgresql() -> String {
    let mut out = String::from(
        "# PostgreSQL under Witch\n\n\
         Generated from `actors/src/pg/owned.rs`, `actors/src/pg/pins.rs` and `actors/src/pg/plan.rs`; do not edit.\n\n\
         ## The settings that Witch owns\n\n\
         What takes effect at a start is given to the server on its command line, which nothing overrides. What takes effect at a reload stands in\n\
         `witch.conf` in the data directory, which `postgresql.conf` includes as its last line; the lines that would override it are taken out of\n\
         `postgresql.auto.conf`. Everything else is yours: set it in `[postgres.parameters]`, in `postgresql.conf`, or with `ALTER SYSTEM`. Where\n\
         the table lets you say otherwise, any of the three does. What your files say and Witch does not follow is named: `setting-overridden` in\n\
         [troubles.md](troubles.md).\n\n\
         | setting | value | takes effect | because |\n|---|---|---|---|\n",
    );
    for owned in OWNED {
        let applies = match owned.applies {
            Applies::AtStart => "at a start",
            Applies::AtReload => "at a reload",
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {applies} | {} |", owned.name, value(owned.value), owned.because);
    }
    out.push_str(
        "\n## What Witch's own sessions pin\n\n\
         Whatever is set for a role, a database or the server, Witch's sessions have these in their start-up packet, and the programs that it runs\n\
         as far as their role may set them. They enter `postgres`, or any other database if that one is gone or closed.\n\n\
         | setting | value | versions | set by | because |\n|---|---|---|---|---|\n",
    );
    for pin in PINS {
        let versions = match (pin.since, pin.until) {
            (13, u32::MAX) => "all".to_owned(),
            (since, u32::MAX) => format!("{since} and later"),
            (since, until) => format!("{since} to {until}"),
        };
        let by = match pin.by {
            By::Anybody => "every session",
            By::Granted => "the superuser's, and the replication role's by a grant",
            By::Superuser => "the superuser's",
        };
        let value = if pin.value.is_empty() { "empty".to_owned() } else { format!("`{}`", pin.value) };
        let _ = writeln!(out, "| `{}` | {value} | {versions} | {by} | {} |", pin.name, pin.because);
    }
    out.push_str(
        "\n## How an order becomes an operation\n\n\
         The rules in [rules.md](rules.md) say what the database shall be. This table says what is done next about it: the first row that matches\n\
         what is ordered and what is observed.\n\n\
         | # | row | then | because |\n|---|---|---|---|\n",
    );
    for (number, rule) in plan::RULES.iter().enumerate() {
        let _ = writeln!(out, "| {} | `{}` | {:?} | {} |", number + 1, rule.id, rule.then, rule.because);
    }
    out
}

fn value(value: Value) -> String {
    match value {
        Value::Fixed("") => "empty".to_owned(),
        Value::Fixed(fixed) => format!("`{fixed}`"),
        Value::Key(key) => format!("from `{key}`"),
        // A word in angle brackets would be taken for HTML.
        Value::Computed(from) if from.contains('<') => format!("`{from}`"),
        Value::Computed(from) => format!("from {from}"),
        Value::Joined(from) => format!("from {from}; yours beside it"),
        Value::Count(least) => format!("`{least}`, or more if you say so"),
        Value::Megabytes(least) => format!("`{least}MB`, or more if you say so"),
        Value::OneOf(choices) => {
            let others = choices[1..].iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(" or ");
            format!("`{}`, or {others} if you say so", choices[0])
        }
        Value::Default(default) => format!("`{default}`, unless you say otherwise"),
    }
}

/// Each shown file stands in the README as a block of code after a line `<!-- its path -->`.
#[test]
fn the_readme_shows_the_real_files() {
    let mut readme = read("README.md");
    for path in SHOWN {
        let head = format!("<!-- {path} -->\n```");
        let (before, rest) = readme.split_once(&head).unwrap_or_else(|| panic!("README.md has no block of code after <!-- {path} -->"));
        let (kind, rest) = rest.split_once('\n').expect("a block has an end");
        let (_, after) = rest.split_once("```\n").expect("a block has an end");
        readme = format!("{before}{head}{kind}\n{}```\n{after}", read(path));
    }
    must_be("README.md", &readme);
}

/// Prose that nobody checks comes to lie, and a link is the part of it that a test can read.
#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut pages = vec![PathBuf::from("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(at(folder)).expect("there is such a folder");
        let names = entries.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
        pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| Path::new(folder).join(name)));
    }
    assert!(pages.len() > 5, "the documents are not where they are looked for");
    let mut broken = Vec::new();
    for page in pages {
        let text = read(&page.to_string_lossy());
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or_default();
            let folder = page.parent().unwrap_or(Path::new(""));
            if !file.is_empty() && !at(&folder.join(file).to_string_lossy()).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The page of sabotage names tests; a name that is gone would claim what nothing shows.
#[test]
fn every_test_that_the_page_of_sabotage_names_exists() {
    let mut sources = String::new();
    let mut folders = vec![at("actors"), at("chaos"), at("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("there is such a folder") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(&path).expect("it is text"));
            }
        }
    }
    let page = read("docs/sabotage.md");
    let named = page.split('`').skip(1).step_by(2).filter(|word| word.contains('_') && !word.contains(['/', ' ']));
    let missing: Vec<_> = named.clone().filter(|name| !sources.contains(&format!("fn {name}()"))).collect();
    assert!(named.count() > 30, "the page names its tests between backticks");
    assert!(missing.is_empty(), "docs/sabotage.md names tests that do not exist: {missing:?}");
}
