//! The command line.

use crate::config::PORT;
use crate::exit::Exit;
use actors::model::Endpoint;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::str::FromStr;

/// High availability for PostgreSQL in one binary.
///
/// One `witch` runs beside each database server. Together they elect a primary, replace it when it dies, and bring the old one back as a
/// standby. Without a command, `witch` runs that daemon.
#[derive(Debug, Parser)]
#[command(name = "witch", version)]
pub(crate) struct Cli {
    /// The configuration file.
    ///
    /// Every key of it can also be given as an environment variable, WITCH_SECTION__KEY, which then wins.
    #[arg(long, global = true, value_name = "FILE", env = "WITCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// What to do; by default, run the daemon.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What `witch` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon of this node.
    ///
    /// It reads the configuration, finds its peers, and takes care of the database until it gets SIGTERM. SIGUSR1 ends the daemon alone and
    /// leaves the database running for its successor: that is how it comes to read a changed file, and no client notices. SIGHUP only says so.
    #[command(after_help = "Example:\n  witch run --config /etc/witch/witch.toml")]
    Run,
    /// Watch over a database server (started by the daemon, not by people).
    #[command(hide = true)]
    Guard(GuardArgs),
    /// Show failover on a real cluster of this machine.
    ///
    /// Starts several nodes with real databases in a temporary folder, writes into the primary all the time, and lets you kill, freeze and
    /// switch over. It leaves nothing behind.
    #[command(after_help = "Examples:\n  witch demo\n  witch demo --script crash,kill,freeze,switchover --json")]
    Demo(DemoArgs),
    /// Show the members: who is primary, who follows, and what is wrong.
    #[command(after_help = "Examples:\n  witch status\n  witch status --watch --node db2:7000\n  witch status --json | jq .primary")]
    Status(StatusArgs),
    /// Make another node the primary, without losing anything.
    ///
    /// The primary stops cleanly, the other node takes over once it has everything, and the old primary follows it. If that cannot work,
    /// nothing is changed, and the reason is told.
    #[command(after_help = "Examples:\n  witch switchover\n  witch switchover --to db2")]
    Switchover(SwitchoverArgs),
    /// Hold automatic failover, for maintenance.
    ///
    /// Until `witch resume`, nobody is promoted. A primary that loses its lease is fenced all the same.
    #[command(after_help = "Example:\n  witch pause && systemctl restart postgresql-exporter && witch resume")]
    Pause(CommandArgs),
    /// Let automatic failover go on after `witch pause`.
    #[command(after_help = "Example:\n  witch resume")]
    Resume(CommandArgs),
    /// Tell whether this node is well, for health checks: 0 if it is, another code and the reason if not.
    ///
    /// Unlike all other commands it asks one node only: this host's own, unless another is named. A primary is well while it accepts writes
    /// under its lease, a standby while its database answers.
    #[command(after_help = "Examples:\n  witch health\n  witch health --primary --node db2:7000")]
    Health(HealthArgs),
    /// Show what happened, with the rule and the reason behind each decision.
    #[command(after_help = "Examples:\n  witch history\n  witch history --utc\n  witch history --json | jq '.events[-1]'")]
    History(HistoryArgs),
    /// Check the configuration and show what is in force.
    ///
    /// Reports everything that is wrong at once: the place, the rule and the fix.
    #[command(after_help = "Example:\n  witch check-config --config /etc/witch/witch.toml")]
    CheckConfig(CheckConfigArgs),
}

/// For `witch guard`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GuardArgs {
    /// Where to listen for the daemon.
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// The database's directory.
    #[arg(long)]
    pub(crate) pgdata: PathBuf,
    /// How long before the end of a lease a writable server is ended.
    #[arg(long)]
    pub(crate) kill_margin_ms: u64,
    /// Held as long as the guard lives.
    #[arg(long)]
    pub(crate) lock: PathBuf,
}

/// For `witch demo`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Faults to make one after the other, without a terminal: crash, kill, freeze, switchover.
    ///
    /// The process ends with 0 only if two primaries never accepted writes, and nothing was lost where the rules forbid it.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) script: Vec<String>,
    /// Tell the results as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) nodes: u8,
    /// Work in this folder instead of a temporary one.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Keep the folder afterwards.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// How to reach the cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reach {
    /// Ask this node; can be given several times, and then the first that answers is asked.
    ///
    /// Without it, this host's own daemon is asked over the Unix socket in its cluster.data_dir, which takes root or the user who runs witch for a
    /// change. Commands that only show something then ask the other nodes of the configuration file.
    #[arg(long = "node", value_name = "HOST:PORT", env = "WITCH_NODE", value_delimiter = ',')]
    pub(crate) nodes: Vec<Address>,
    /// A file with the token of the API, for changes over the network.
    ///
    /// Without it, the token for a node that --node names comes from WITCH_API__TOKEN or api.token of the configuration file. Nobody needs one over
    /// the Unix socket, nor for commands that only show something.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// For commands without options of their own.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommandArgs {
    /// How to reach the cluster.
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// For `witch status`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    /// Show it anew every second, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// How to reach the cluster.
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// For `witch switchover`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SwitchoverArgs {
    /// The name or the number of the node that takes over; by default the best candidate.
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// How to reach the cluster.
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// For `witch health`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HealthArgs {
    /// Well is only a primary that accepts writes.
    #[arg(long, conflicts_with = "replica")]
    pub(crate) primary: bool,
    /// Well is only a standby that streams and takes readers.
    #[arg(long)]
    pub(crate) replica: bool,
    /// How to reach the node.
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// For `witch history`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Tell times in UTC instead of the local time.
    #[arg(long)]
    pub(crate) utc: bool,
    /// How to reach the cluster.
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// For `witch check-config`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckConfigArgs {
    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Cli {
    /// Parses the command line of this process, or ends it with help or a usage error.
    pub(crate) fn of_process() -> Self {
        let legend = format!("Exit codes:\n{}", Exit::legend());
        let matches = Self::command().after_long_help(legend).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) Endpoint);

/// The text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as db2:7000, 10.0.0.2 or [fd00::2]:7000")]
pub(crate) struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(NotAnAddress)?)),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| NotAnAddress))?;
        if host.is_empty() || port == 0 || host.contains(['/', ' ', '[', ']']) {
            return Err(NotAnAddress);
        }
        Ok(Self(Endpoint { host: host.to_string(), port }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_are_read_with_and_without_a_port() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.0.to_string());
        for (text, address) in [("db2", "db2:7000"), ("db2:80", "db2:80"), ("[::1]", "[::1]:7000"), ("[::1]:9", "[::1]:9")] {
            assert_eq!(read(text), Ok(address.into()), "{text}");
        }
        for text in ["", ":7000", "db2:", "db2:x", "db2:70000", "db2:0", "::1", "[::1", "[::1]9", "http://db2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_client_command_can_name_several_nodes() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        let Some(Command::Status(args)) = parse("witch status --node a --node b:1,c --watch --config f").command else { panic!() };
        assert_eq!(args.reach.nodes.len(), 3);
        assert!(args.watch);
        assert!(parse("witch").command.is_none());
        assert!(Cli::try_parse_from(["witch", "switchover", "--node", "x:y"]).is_err());
        let Some(Command::Demo(args)) = parse("witch demo --script crash,kill").command else { panic!() };
        assert_eq!((args.script.len(), args.nodes), (2, 3));
    }
}
