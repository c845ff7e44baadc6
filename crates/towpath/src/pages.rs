//! What shells and `man` know of the command line: made from its own description, so that it cannot differ.

use std::io::{self, Write as _};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::report::Failure;
use crate::tail::written;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath completions bash > /etc/bash_completion.d/towpath
  towpath completions zsh > /usr/local/share/zsh/site-functions/_towpath
  towpath completions fish > ~/.config/fish/completions/towpath.fish")]
pub(crate) struct CompletionArguments {
    /// The shell.
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

/// Writes the completions of a shell to standard output.
pub(crate) fn completions(
    arguments: &CompletionArguments,
    mut command: Command,
) -> Result<(), Failure> {
    let shell = match arguments.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "towpath", &mut script);
    print(&script)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath man > /usr/local/share/man/man1/towpath.1
  towpath man tail | man -l -")]
pub(crate) struct ManArguments {
    /// The command whose page is wanted. If absent, that of the program with all of its commands.
    #[arg(value_name = "COMMAND")]
    of: Option<String>,
}

/// Writes a manual page to standard output.
pub(crate) fn man(arguments: &ManArguments, mut command: Command) -> Result<(), Failure> {
    command.build();
    let Some(name) = &arguments.of else {
        return page(command);
    };
    match command.find_subcommand(name) {
        Some(found) => page(found.clone()),
        None => {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            Err(Failure::of(&format!("there is no command `{name}`, only {}", names.join(", "))))
        }
    }
}

fn page(command: Command) -> Result<(), Failure> {
    let mut page = Vec::new();
    let made = Man::new(command).render(&mut page);
    made.map_err(|error| Failure::new("cannot make the page", error))?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout();
    written(out.write_all(bytes).and_then(|()| out.flush())).map(drop)
}
