//! `towpath decode`: what is in binlog files.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use towpath_entry::Block;
use towpath_source::{Source, SourceConfig};

use crate::filters::FilterArguments;
use crate::follow::Follow;
use crate::outlet::Color;
use crate::report::Failure;
use crate::tail::render::{FormatArguments, Renderer};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  towpath decode mysql-bin.000001
  towpath decode --json mysql-bin.* | jq .
  towpath decode --entries out.bin mysql-bin.000001")]
pub(crate) struct Arguments {
    /// Binlog files, in the order in which they were written. What the statements of one file tell of tables
    /// counts in those that follow on it; where a file is missing in between, it is forgotten.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the entries to this file instead: each one as a 4-byte big-endian length and its bytes.
    #[arg(long, value_name = "FILE")]
    entries: Option<PathBuf>,
    #[command(flatten)]
    filters: FilterArguments,
    #[command(flatten)]
    format: FormatArguments,
}

enum Output {
    Lines(Box<Renderer<BufWriter<io::Stdout>>>),
    Entries(BufWriter<File>),
}

impl Output {
    fn block(&mut self, block: &Block) -> io::Result<()> {
        for bytes in block.messages() {
            match self {
                Self::Lines(renderer) => drop(renderer.entry(bytes, 0, u64::MAX)?),
                Self::Entries(file) => {
                    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                    file.write_all(&len.to_be_bytes())?;
                    file.write_all(bytes)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(renderer) => renderer.flush(),
            Self::Entries(file) => file.flush(),
        }
    }
}

pub(crate) async fn run(arguments: Arguments, color: Color) -> Result<(), Failure> {
    let mut options = arguments.filters.options()?;
    if arguments.entries.is_none() {
        options.suppress = options.suppress.and(arguments.format.suppressed());
    }
    let mut output = if let Some(path) = &arguments.entries {
        let doing = format!("cannot write {}", path.display());
        Output::Entries(BufWriter::new(
            File::create(path).map_err(|error| Failure::new(&doing, error))?,
        ))
    } else {
        let out = io::stdout();
        let colored = color.is_on(&out);
        let format = arguments.format.format();
        Output::Lines(Box::new(Renderer::new(
            BufWriter::new(out),
            format,
            colored,
            options.zone.clone(),
        )))
    };
    let target = match output {
        Output::Entries(_) if io::stderr().is_terminal() => ProgressDrawTarget::stderr(),
        Output::Entries(_) | Output::Lines(_) => ProgressDrawTarget::hidden(),
    };
    let progress = ProgressBar::with_draw_target(None, target);
    let source =
        Source::open_files(&arguments.files, &SourceConfig::default()).map_err(Failure::source)?;
    let follow = Follow::new(source, options)?;
    let result = all(follow, &mut output, &progress).await;
    match output.flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(Failure::new("cannot write", error)),
        Ok(()) => result?,
    }
    progress.finish_and_clear();
    Ok(())
}

/// Decodes all files, until nobody reads the output any more.
async fn all(
    mut follow: Follow,
    output: &mut Output,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let remaining = |follow: &Follow| match &follow.source {
        Source::Files(files) => files.remaining_bytes(),
        Source::Mysql(_) => 0,
    };
    let total = remaining(&follow);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}") {
        progress.set_style(style);
    }
    progress.set_length(total);
    while let Some(block) = follow.next().await? {
        match output.block(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::new("cannot write", error)),
        }
        progress.set_position(total.saturating_sub(remaining(&follow)));
    }
    Ok(())
}
