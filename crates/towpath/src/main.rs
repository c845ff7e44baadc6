//! The `towpath` command line: carries the changes of MySQL and MariaDB to everything that follows.

mod bench;
mod client;
mod decode;
mod doctor;
mod dump_event;
mod encryption;
mod filters;
mod follow;
mod log;
mod outlet;
mod pages;
mod place;
mod report;
mod secret;
mod serve;
mod signals;
mod tail;
mod zone;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::time::{Instant, sleep};

/// Time for a goodbye to ZooKeeper, and for what is aborted to be gone.
const FAREWELL: Duration = Duration::from_secs(3);

/// Pause between two looks whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Carries the changes of a MySQL or MariaDB database to everything that follows it.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, arg_required_else_help = true)]
struct Arguments {
    /// Colours: auto is a terminal without NO_COLOR in the environment.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    color: outlet::Color,
    #[command(flatten)]
    log: log::LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow a source, a MySQL or MariaDB server, and serve its changes to Canal's clients.
    Serve(Box<serve::Arguments>),
    /// Show changes of a source as they happen.
    Tail(tail::Arguments),
    /// Follow a server or a cluster as a client, with its state shown live.
    Client(Box<client::Arguments>),
    /// Show what is in binlog files, or write it as entries.
    Decode(decode::Arguments),
    /// Write one event of a binlog file to a file of its own, its values masked, to report a fault.
    DumpEvent(dump_event::Arguments),
    /// Check a cluster, a server or a source, and say what is wrong and how to fix it.
    Doctor(doctor::Arguments),
    /// Measure how fast a server, a source or binlog files can be read.
    Bench(bench::Arguments),
    /// Write the completions of a shell.
    Completions(pages::CompletionArguments),
    /// Write a manual page.
    Man(pages::ManArguments),
}

fn main() -> ExitCode {
    let help = Arguments::command().color(outlet::Color::of_help(std::env::args_os()));
    let matches = help.try_get_matches();
    let arguments = match matches.and_then(|found| Arguments::from_arg_matches(&found)) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let color = arguments.color;
    arguments.log.start(color);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report::fail(&report::Failure::new("cannot start", error)),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => serve::run(*arguments).await,
            Command::Tail(arguments) => tail::run(arguments, color).await,
            Command::Client(arguments) => client::run(*arguments, color).await,
            Command::Decode(arguments) => decode::run(arguments, color).await,
            Command::DumpEvent(arguments) => dump_event::run(&arguments),
            Command::Doctor(arguments) => return Ok(doctor::run(arguments, color).await),
            Command::Bench(arguments) => bench::run(arguments).await,
            Command::Completions(arguments) => pages::completions(&arguments, Arguments::command()),
            Command::Man(arguments) => pages::man(&arguments, Arguments::command()),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    let code = result.unwrap_or_else(|failure| report::fail(&failure));
    runtime.block_on(farewell());
    code
}

/// Says what is wrong with the arguments; a password that was typed in the wrong place is not shown.
fn refuse(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = secret::masked(&text, std::env::args().skip(1));
    if shown == text {
        error.exit();
    }
    report::say(shown.trim_end());
    ExitCode::from(2)
}

/// Waits for the tasks that were told to end, within a bound; the rest of them is a defect.
async fn farewell() {
    let end = Instant::now() + FAREWELL;
    loop {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if tasks == 0 {
            return;
        }
        if Instant::now() >= end {
            tracing::warn!(tasks, "tasks outlived their owners");
            return;
        }
        sleep(LOOK_AGAIN).await;
    }
}
