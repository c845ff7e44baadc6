//! What was found: printed as it comes, counted for the exit code.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use owo_colors::{OwoColorize as _, Style};
use serde_json::json;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Good to know, nothing to do.
    Note,
    /// Works, but somebody should look.
    Warning,
    /// Does not work.
    Failure,
    /// Could not be looked at.
    Skipped,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }

    const fn look(self) -> Style {
        match self {
            Self::Ok => Style::new().green(),
            Self::Note => Style::new().cyan(),
            Self::Warning => Style::new().yellow(),
            Self::Failure => Style::new().red().bold(),
            Self::Skipped => Style::new().dimmed(),
        }
    }
}

/// The result of one check.
#[derive(Debug)]
#[must_use]
pub(super) struct Finding {
    step: &'static str,
    about: String,
    verdict: Verdict,
    text: String,
    fix: Option<String>,
    took: Option<Duration>,
}

impl Finding {
    /// A result of `step`, a name that stays, about an address or destination.
    pub(super) fn new(
        verdict: Verdict,
        step: &'static str,
        about: &str,
        text: impl Into<String>,
    ) -> Self {
        let (about, text) = (about.to_owned(), text.into());
        Self { step, about, verdict, text, fix: None, took: None }
    }

    pub(super) fn ok(step: &'static str, about: &str, text: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, step, about, text)
    }

    pub(super) fn note(step: &'static str, about: &str, text: impl Into<String>) -> Self {
        Self::new(Verdict::Note, step, about, text)
    }

    pub(super) fn warning(step: &'static str, about: &str, text: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, step, about, text)
    }

    pub(super) fn failure(step: &'static str, about: &str, text: impl Into<String>) -> Self {
        Self::new(Verdict::Failure, step, about, text)
    }

    /// What to do about it.
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into()).filter(|fix| !fix.is_empty());
        Self { fix, ..self }
    }

    /// How long the step took.
    pub(super) fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Lines {
        /// With colours.
        colored: bool,
    },
    /// One object a line.
    Json,
}

/// Everything found so far.
#[derive(Debug)]
pub(super) struct Findings {
    format: Format,
    checks: usize,
    warnings: usize,
    failures: usize,
}

impl Findings {
    pub(super) const fn new(format: Format) -> Self {
        Self { format, checks: 0, warnings: 0, failures: 0 }
    }

    /// Takes a finding, and prints it.
    pub(super) fn add(&mut self, finding: &Finding) {
        self.checks += 1;
        match finding.verdict {
            Verdict::Warning => self.warnings += 1,
            Verdict::Failure => self.failures += 1,
            Verdict::Ok | Verdict::Note | Verdict::Skipped => {}
        }
        let line = match self.format {
            Format::Lines { colored } => shown(finding, colored),
            Format::Json => printed(finding),
        };
        say(&line);
    }

    /// All steps behind `failed` could not be done.
    pub(super) fn skip_after(&mut self, steps: &[&'static str], failed: &str, about: &str) {
        let behind: Vec<&'static str> =
            steps.iter().copied().skip_while(|step| *step != failed).skip(1).collect();
        let because = format!("not checked, because {failed} failed");
        match self.format {
            Format::Lines { .. } if behind.len() > 1 => {
                let text = format!("{because}: {}", behind.join(", "));
                self.add(&Finding::new(Verdict::Skipped, "the rest", about, text));
                self.checks += behind.len() - 1;
            }
            Format::Lines { .. } | Format::Json => {
                for step in behind {
                    self.add(&Finding::new(Verdict::Skipped, step, about, because.clone()));
                }
            }
        }
    }

    /// The last line for people; true when there is no failure.
    pub(super) fn finish(&self) -> bool {
        let Self { format, checks, warnings, failures } = self;
        match format {
            Format::Lines { .. } => {
                let plural = |count: &usize| if *count == 1 { "" } else { "s" };
                say(&format!(
                    "{checks} checks: {failures} failure{}, {warnings} warning{}",
                    plural(failures),
                    plural(warnings)
                ));
            }
            Format::Json => {}
        }
        *failures == 0
    }
}

/// One line. Nobody is left to tell when that fails; the exit code still counts.
fn say(line: &str) {
    let _written: bool = writeln!(io::stdout(), "{line}").is_ok();
}

fn shown(finding: &Finding, colored: bool) -> String {
    let Finding { step, about, verdict, text, fix, took } = finding;
    let style = if colored { verdict.look() } else { Style::new() };
    let name = format!("{:<8}", verdict.name());
    let took =
        took.map_or_else(String::new, |took| format!(" ({:.1} ms)", took.as_secs_f64() * 1e3));
    let (about, text) = (plain(about), plain(text));
    let mut line = format!("{} {step:<15} {about}: {text}{took}", name.style(style));
    if let Some(fix) = fix {
        line.push_str("\n         fix: ");
        line.push_str(&plain(fix));
    }
    line
}

/// Without what a terminal would obey: nodes and servers are not to be trusted.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn printed(finding: &Finding) -> String {
    let Finding { step, about, verdict, text, fix, took } = finding;
    let mut object = json!({
        "result": verdict.name(), "step": step, "about": about, "text": text,
    });
    if let (Some(fix), Some(members)) = (fix, object.as_object_mut()) {
        members.insert("fix".to_owned(), json!(fix));
    }
    if let (Some(took), Some(members)) = (took, object.as_object_mut()) {
        members.insert("took_ms".to_owned(), json!(took.as_secs_f64() * 1e3));
    }
    object.to_string()
}

/// A time as people say it.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            s @ 1..120 => write!(f, "{s} s"),
            s @ 120..7200 => write!(f, "{} min", s / 60),
            s @ 7200..172_800 => write!(f, "{} h", s / 3600),
            s => write!(f, "{} days", s / 86_400),
        }
    }
}

/// A number of bytes as people say it.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_240 => write!(f, "{bytes} bytes"),
            bytes @ 10_240..10_485_760 => write!(f, "{} KiB", bytes >> 10),
            bytes @ 10_485_760..10_737_418_240 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} GiB", bytes >> 30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_printed_with_their_fix() {
        let finding = Finding::failure("running", "shop", "nobody answers")
            .fix("start it")
            .took(Duration::from_millis(7));
        let line = "failure  running         shop: nobody answers (7.0 ms)\n         fix: start it";
        assert_eq!(shown(&finding, false), line);
        let object = r#"{"result":"failure","step":"running","about":"shop","text":"nobody answers","fix":"start it","took_ms":7.0}"#;
        assert_eq!(printed(&finding), object);
        let hostile = Finding::note("cursor", "x", "a\u{1b}[2J\nb");
        assert_eq!(shown(&hostile, false).matches('\u{fffd}').count(), 2);
    }

    #[test]
    fn only_failures_count_against() {
        let mut findings = Findings::new(Format::Json);
        findings.add(&Finding::warning("a", "x", "y"));
        findings.skip_after(&["a", "b", "c"], "a", "x");
        assert!(findings.finish());
        assert_eq!((findings.checks, findings.warnings), (3, 1));
        findings.add(&Finding::failure("a", "x", "y"));
        assert!(!findings.finish());
    }
}
