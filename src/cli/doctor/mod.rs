//! `setpoint doctor`: what of this machine, this home and this controller stands in the way.
//!
//! In: a look at all three. Out: one line per finding, each with what to do about it; 1 when something fails.
//! Not here: states of services; `get` and `describe` know those. The surprise: it works without a home and without a
//! controller, since it is asked when nothing else works.

mod controller;
mod home;
mod machine;

use serde_json::json;

use super::{Failure, Format, Global, Outcome, exit};

/// Look for what stands in the way of services
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something works less well, or will not work one day.
    Warn,
    /// Something does not work.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// Which thing: stable, for scripts.
    check: &'static str,
    level: Level,
    what: String,
    /// What to type or change; nothing where nothing has to be done.
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, what: what.into(), fix: None }
    }

    fn note(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, level: Level::Note, what: what.into(), fix: Some(fix.into()) }
    }

    fn warn(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warn, what: what.into(), fix: Some(fix.into()) }
    }

    fn fail(check: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { check, level: Level::Fail, what: what.into(), fix: Some(fix.into()) }
    }

    /// An error of ours, whose text ends with a line of help.
    fn error(check: &'static str, error: &impl std::fmt::Display) -> Finding {
        let text = error.to_string();
        let (what, fix) = text.split_once("\n  help: ").unwrap_or((&text, "setpoint controller logs"));
        Finding::fail(check, what, fix)
    }
}

/// Runs the verb.
///
/// # Errors
/// When the answer cannot be printed.
pub fn run(global: &Global, _: &Args) -> Outcome {
    let mut findings = machine::look();
    let (found, home) = home::look(global);
    findings.extend(found);
    findings.extend(home.as_ref().and_then(machine::gates));
    findings.extend(controller::look(global, home.as_ref()));
    let text = match global.output {
        Format::Table | Format::Wide | Format::Name => findings.iter().map(line).collect(),
        Format::Json => format!("{:#}\n", items(&findings)),
        Format::Yaml => {
            serde_yaml::to_string(&items(&findings)).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?
        }
    };
    super::print(&text)?;
    let is_failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if is_failed { exit::FAILED } else { exit::OK })
}

fn line(finding: &Finding) -> String {
    let fix = finding.fix.as_ref().map_or(String::new(), |fix| format!("  -> {}", super::plain(fix)));
    format!("{:<4}  {}{fix}\n", finding.level.word(), super::plain(&finding.what))
}

fn items(findings: &[Finding]) -> serde_json::Value {
    let item = |Finding { check, level, what, fix }: &Finding| json!({ "check": check, "level": level.word(), "what": what, "fix": fix });
    json!({ "items": findings.iter().map(item).collect::<Vec<_>>() })
}
