//! `witch check-config`.

use super::{print, print_json};
use crate::cli::CheckConfigArgs;
use crate::client::{Client, Door, Request};
use crate::config::{Config, Fault, Invalid, Loaded, Place, Source, Surroundings, socket};
use crate::exit::Failure;
use crate::view;
use actors::fsm::differences_of_files;
use actors::model::Status;
use actors::printable::printable_lines;

/// Tells what is in force, or everything that is wrong; and, where a daemon of this host's cluster answers, what the file says otherwise than it.
pub(crate) async fn check_config(args: &CheckConfigArgs, source: &Source) -> Result<(), Failure> {
    let checked = Config::load(source, &Surroundings::of_process()).and_then(|mut loaded| {
        loaded.config.find_programs(&source.path)?;
        Ok(loaded)
    });
    let differing = match &checked {
        Ok(loaded) => differences(&loaded.config).await,
        Err(_) => Vec::new(),
    };
    if args.json {
        print_json(&as_json(&checked, &differing))?;
        return checked.map(drop).map_err(Failure::from);
    }
    let Loaded { config, warnings, hazards, settings } = checked?;
    let file = source.path.display().to_string();
    for warning in &warnings {
        eprintln!("warning:\n{}", warning.told_of(&file));
    }
    for what in &differing {
        eprintln!("note: {}", printable_lines(what));
    }
    let (cluster, nodes) = (&config.cluster, config.peers.len() + 1);
    let programs = config.postgres.bin_dir.as_deref().map_or_else(String::new, |folder| folder.display().to_string());
    let told: String = hazards.iter().map(|hazard| format!("\n{}", hazard.told_of(&file))).collect();
    let told = if told.is_empty() { told } else { format!("\n`witch run` refuses it until this is mended:{told}\n") };
    print(&format!(
        "OK: {file} is node {} ({}) of {nodes} in cluster {}, at {}, its database at {}, with the programs of {programs}\n{told}\n{}",
        cluster.node,
        cluster.node_name,
        cluster.name,
        cluster.advertised(),
        config.database_advertised,
        view::settings::render(&settings)
    ))
}

/// What the file says otherwise than the running cluster: each node tells where it is, and a file is right about its own node alone. A daemon
/// that does not run, or does not answer this user, has nothing to say.
async fn differences(config: &Config) -> Vec<String> {
    let client = Client { nodes: vec![Door::Socket(socket(&config.cluster.data_dir))], token: None };
    let Ok(reply) = client.ask(&Request::Node).await else { return Vec::new() };
    let Some(state) = reply.parse::<Status>().ok().and_then(|status| status.state) else { return Vec::new() };
    if state.cluster != config.cluster.name {
        return vec![format!("the daemon that runs here is of cluster {}, and the file of {}", state.cluster, config.cluster.name)];
    }
    differences_of_files(&config.members(), config.cluster.node, &state).into_iter().map(|condition| condition.text).collect()
}

fn as_json(checked: &Result<Loaded, Invalid>, differing: &[String]) -> serde_json::Value {
    let faults = |faults: &[Fault]| {
        let fault =
            |fault: &Fault| serde_json::json!({ "key": fault.key, "from": place(&fault.place), "rule": fault.rule, "fix": fault.fix });
        faults.iter().map(fault).collect::<Vec<_>>()
    };
    match checked {
        Err(invalid) => serde_json::json!({ "ok": false, "errors": faults(&invalid.faults) }),
        Ok(loaded) => {
            let setting = |setting: &crate::config::Setting| serde_json::json!({ "key": setting.key, "value": setting.value, "from": place(&setting.place) });
            let settings = loaded.settings.iter().map(setting).collect::<Vec<_>>();
            serde_json::json!({ "ok": true, "warnings": faults(&loaded.warnings), "hazards": faults(&loaded.hazards), "notes": differing, "settings": settings })
        }
    }
}

fn place(place: &Place) -> serde_json::Value {
    match place {
        Place::Line(line) => serde_json::json!({ "line": line }),
        Place::Variable(name) => serde_json::json!({ "variable": name }),
        Place::Nowhere => serde_json::Value::Null,
    }
}
