//! `docs/api.md` is what users build upon: each example in it must have exactly the keys of a real answer.

use super::world::*;
use crate::fsm::Refusal;
use crate::model::*;
use serde_json::Value;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../../docs/api.md");

/// The first JSON example under the heading.
fn example(heading: &str) -> Value {
    let line = format!("\n### `{heading}`\n");
    let (_, section) = DOCUMENT.split_once(&line).unwrap_or_else(|| panic!("docs/api.md has no heading `{heading}`"));
    let section = section.split("\n### ").next().unwrap();
    let (_, block) = section.split_once("```json\n").unwrap_or_else(|| panic!("no example under `{heading}`"));
    let (block, _) = block.split_once("```").unwrap();
    serde_json::from_str(block).unwrap_or_else(|error| panic!("the example under `{heading}` is no JSON: {error}"))
}

/// The paths of all keys, arrays taken together.
fn keys(value: &Value) -> BTreeSet<String> {
    fn gather(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = format!("{path}.{key}");
                    gather(value, &path, into);
                    into.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, &format!("{path}[]"), into)),
            _ => {}
        }
    }
    let mut into = BTreeSet::new();
    gather(value, "", &mut into);
    into
}

fn agree(heading: &str, answered: &Value) {
    assert_eq!(keys(&example(heading)), keys(answered), "docs/api.md and the answer to {heading} differ; the answer:\n{answered:#}");
}

#[tokio::test]
async fn the_documented_pages_are_the_real_ones() {
    let world = world(config()).await;
    let mut status = primary();
    let state = status.state.as_mut().unwrap();
    state.switchover =
        Some(Switchover { id: RequestId(5), from: NodeId(1), epoch: Epoch(1), to: NodeId(2), begun_at: WallClock(1_700_000_000_010) });
    let clone = Operation { name: "clone".into(), percent: Some(40), detail: "400 of 1000 MB".into() };
    status.members[1].report.as_mut().unwrap().database.as_mut().unwrap().operation = Some(clone);
    world.publish(status);
    for path in ["/health", "/primary", "/cluster", "/history", "/node"] {
        agree(&format!("GET {path}"), &world.get(path).await.json());
    }
    world.publish(standby());
    agree("GET /replica", &world.get("/replica").await.json());
}

#[tokio::test]
async fn the_documented_changes_and_errors_are_the_real_ones() {
    let mut world = world(config()).await;
    let address = world.address();
    for (path, word) in [("/switchover", None), ("/failover/pause", None), ("/failover/resume", None), ("/switchover", Some("refused"))] {
        let asking = tokio::spawn(async move { call(address, "POST", path, &[], "").await });
        let (id, _) = world.next_asked().await;
        if word.is_some() {
            world.answers.refuse(id, Refusal { rule: "r".into(), reason: "because".into() });
            agree("Errors", &asking.await.unwrap().json());
        } else {
            world.commit_end(id, None);
            agree(&format!("POST {path}"), &asking.await.unwrap().json());
            agree("GET /requests/{id}", &world.get(&format!("/requests/{id}")).await.json());
        }
    }
}

/// Every word that an error can have is explained in the document, and every one that is explained exists.
#[test]
fn every_error_word_is_documented() {
    let sources = [
        include_str!("../../access.rs"),
        include_str!("../../health.rs"),
        include_str!("../../outcome.rs"),
        include_str!("../../problem.rs"),
        include_str!("../../target.rs"),
        include_str!("../body.rs"),
        include_str!("../change.rs"),
        include_str!("../read.rs"),
        include_str!("../routes.rs"),
    ];
    let mut words: BTreeSet<&str> = BTreeSet::from(["unhealthy"]);
    for source in sources {
        for (at, call) in source.match_indices("Problem::new(").chain(source.match_indices("Self::new(")) {
            let arguments = &source[at + call.len()..];
            words.extend(arguments.split('"').nth(1));
        }
    }
    let documented: BTreeSet<&str> =
        DOCUMENT.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | `")?.1.split_once('`').map(|(word, _)| word)).collect();
    assert_eq!(words, documented);
}
