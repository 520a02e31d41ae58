//! `witch`: the life of the process.
//!
//! Reads the command line, runs one command, tells a failure once with its whole cause, and ends with a code that means something.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod config;
mod daemon;
mod demo;
mod exit;
mod logging;
mod view;

use cli::{Cli, Command};
use config::{Config, Source, Surroundings};
use exit::{Exit, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::of_process();
    let source = Source::new(cli.config);
    match carry_out(cli.command.unwrap_or(Command::Run), &source) {
        Ok(()) => Exit::Done.into(),
        Err(Failure { exit, cause }) => {
            // In it may be words of whoever answered, and a terminal obeys none of them.
            eprintln!("witch: {}", actors::printable::printable_lines(&format!("{cause:#}")));
            exit.into()
        }
    }
}

fn carry_out(command: Command, source: &Source) -> Result<(), Failure> {
    match command {
        Command::Run => run(source),
        Command::Guard(args) => guard(args),
        Command::Demo(args) => block_on(demo::run(&args)),
        Command::CheckConfig(args) => block_on(commands::check_config(&args, source)),
        Command::Status(args) => block_on(commands::status(&args, source)),
        Command::Switchover(args) => block_on(commands::switchover(&args, source)),
        Command::Pause(args) => block_on(commands::pause(&args, source)),
        Command::Resume(args) => block_on(commands::resume(&args, source)),
        Command::Health(args) => block_on(commands::health(&args, source)),
        Command::History(args) => block_on(commands::history(&args, source)),
    }
}

/// Is the guard. Nothing else has run in this process: the guard closes inherited files, and its children die with this thread.
fn guard(args: cli::GuardArgs) -> Result<(), Failure> {
    let cli::GuardArgs { socket, pgdata, kill_margin_ms, lock } = args;
    let kill_margin = std::time::Duration::from_millis(kill_margin_ms);
    // It says a word only while no server runs, so a log that stands still holds up no kill.
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let arguments = actors::guard::Arguments { socket, pgdata, kill_margin, lock };
    Ok(actors::guard::run(arguments).map_err(anyhow::Error::from)?)
}

/// Runs the daemon; the warnings of its configuration are the first lines of its log.
fn run(source: &Source) -> Result<(), Failure> {
    let mut loaded = Config::load(source, &Surroundings::of_process())?;
    if !loaded.hazards.is_empty() {
        return Err(config::Invalid { file: source.path.clone(), faults: loaded.hazards }.into());
    }
    loaded.config.find_programs(&source.path)?;
    let _rest = logging::set_up(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!(key = warning.key, fix = warning.fix, "{}", warning.rule);
    }
    daemon::run(loaded.config, &source.path)
}

/// A command needs one thread.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| anyhow::Error::new(error).context("cannot start the runtime"))?.block_on(command)
}
