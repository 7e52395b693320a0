//! `setpoint events`: what happened, oldest first.

use std::time::Duration;

use super::{Failure, Format, Global, Outcome, exit, facts};
use crate::controller::journal::{self, Event};
use crate::home::Home;

/// How often `-w` looks.
const WATCH: Duration = Duration::from_millis(250);

/// Print what happened
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only about these: KIND/NAME, KIND NAME or a unique NAME
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Go on as more happens
    #[arg(short, long)]
    watch: bool,
    /// Only of this type, like service.gave-up; `*` stands for anything
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<String>,
    /// Only the last N
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
}

/// Runs the verb.
///
/// # Errors
/// When the home cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let home = Home::open_existing(global.home.as_deref()).map_err(|e| Failure::new(exit::FAILED, e.to_string()))?;
    let Some(home) = home else { return Ok(exit::OK) };
    let subjects: Vec<String> = match args.objects.as_slice() {
        [] => Vec::new(),
        words => facts::read(global)?.1.named(words)?.iter().map(ToString::to_string).collect(),
    };
    let is_wanted = |event: &Event| {
        let about = |subject: &String| {
            event.subject.strip_prefix(subject.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        (subjects.is_empty() || subjects.iter().any(about)) && args.kind.as_deref().is_none_or(|p| fits(p, &event.kind))
    };
    let mut shown: Option<Event> = None;
    loop {
        let all = journal::read(&home.events());
        // Events are only ever added; the last one shown marks where to go on.
        let start = shown.as_ref().and_then(|last| all.iter().rposition(|event| event == last)).map_or(0, |at| at + 1);
        let fresh: Vec<&Event> = all.iter().skip(start).filter(|event| is_wanted(event)).collect();
        let skip = match (&shown, args.tail) {
            (None, Some(tail)) => fresh.len().saturating_sub(tail),
            (None, None) | (Some(_), _) => 0,
        };
        for event in fresh.iter().skip(skip) {
            super::print(&line(global, event))?;
        }
        if let Some(last) = all.last() {
            shown = Some(last.clone());
        }
        if !args.watch {
            return Ok(exit::OK);
        }
        std::thread::sleep(WATCH);
    }
}

fn line(global: &Global, event: &Event) -> String {
    match global.output {
        Format::Json | Format::Yaml => serde_json::to_string(event).map_or_else(|_| String::new(), |text| text + "\n"),
        Format::Name => format!("{}\n", event.subject),
        Format::Table | Format::Wide => {
            format!("{}  {:<20} {}  {}\n", event.time, event.kind, event.subject, event.text)
        }
    }
}

/// A pattern with at most one `*`.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail),
    }
}
