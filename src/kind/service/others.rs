//! What a Service has to do with what is there already: what it adopts, what it is made for.
//!
//! In: the fields `adopt` and `forEach`. Out: what the engine decides by. Not here: looking for processes and items.
//! The surprise: a blank in an adopted command line stands for the boundary between two arguments, so that a shell
//! whose one argument is that very command is somebody else.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::expand;
use crate::kind::FieldError;
use crate::kind::command::{check_argv, check_text};
use crate::kind::units::Duration;

/// The longest pattern of a command line, in bytes.
const PATTERN_BYTES_MAX: usize = 4096;

/// Processes that somebody else started and that count as it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adopt {
    /// A regular expression for the whole command line. A blank stands for the boundary between two arguments; `\x20`
    /// is a blank inside one. With `forEach`, `{item}`, `{stem}` and `{name}` stand for the item.
    #[schemars(length(min = 1), extend("examples" = ["python3 -m http\\.server 8000"]))]
    command_line: String,
}

impl Adopt {
    /// The pattern over arguments joined by NUL, anchored at both ends; `{item}` and the like still in it.
    #[must_use]
    pub fn pattern(&self) -> Arc<str> {
        let mut pattern = String::from("^(?:");
        let (mut is_escaped, mut depth) = (false, 0_u32);
        for c in self.command_line.trim().chars() {
            match c {
                ' ' if depth == 0 && !is_escaped => {
                    if !pattern.ends_with(r"\x00") {
                        pattern.push_str(r"\x00");
                    }
                    continue;
                }
                '[' if !is_escaped => depth += 1,
                ']' if !is_escaped => depth = depth.saturating_sub(1),
                _ => {}
            }
            is_escaped = c == '\\' && !is_escaped;
            pattern.push(c);
        }
        pattern.push_str(")$");
        pattern.into()
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        let path = &["adopt", "commandLine"];
        if self.command_line.trim().is_empty() || self.command_line.len() > PATTERN_BYTES_MAX {
            let help = "write the command line as `ps` shows it: python3 -m http\\.server 8000";
            errors.push(FieldError::new(path, "is empty or too long", help));
            return;
        }
        let filled = self.pattern().replace("{item}", "x").replace("{stem}", "x").replace("{name}", "x");
        match regex::Regex::new(&filled) {
            Ok(regex) if regex.is_match("") || regex.is_match("\0") => {
                let help = "name the program: python3 -m http\\.server 8000";
                errors.push(FieldError::new(path, "matches every process", help));
            }
            Ok(_) => {}
            Err(error) => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                errors.push(FieldError::new(path, format!("is no regular expression: {why}"), "escape it with `\\`"));
            }
        }
    }
}

/// One process for each item. Exactly one of glob and command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ForEach {
    /// Each file of this pattern. Relative to the manifest's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["artifacts/*.jsonl"]))]
    glob: Option<String>,
    /// Each line this command prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = [["./list.sh"]]))]
    command: Option<Vec<String>>,
    /// How often the command is run.
    every: Duration,
    /// How long the command may take.
    timeout: Duration,
}

impl Default for ForEach {
    fn default() -> ForEach {
        ForEach {
            glob: None,
            command: None,
            every: Duration(StdDuration::from_secs(30)),
            timeout: Duration(StdDuration::from_secs(10)),
        }
    }
}

impl ForEach {
    /// For the engine; none before it was checked.
    #[must_use]
    pub fn rule(&self, dir: &str) -> Option<expand::ForEach> {
        if let Some(glob) = &self.glob {
            return Some(expand::ForEach::Glob(glob.as_str().into()));
        }
        let argv = self.command.as_ref()?.as_slice().into();
        Some(expand::ForEach::Command { argv, dir: dir.into(), every: self.every.0, timeout: self.timeout.0 })
    }

    /// Says what types cannot say.
    pub fn check(&self, errors: &mut Vec<FieldError>) {
        if self.glob.is_some() == self.command.is_some() {
            let help = "write exactly one of glob and command: { glob: \"artifacts/*.jsonl\" }";
            errors.push(FieldError::new(&["forEach"], "does not say where its items come from", help));
        }
        if let Some(glob) = &self.glob {
            check_text(&["forEach", "glob"], glob, errors);
            if let Err(error) = glob::Pattern::new(glob) {
                let what = format!("is no pattern: {}", error.msg);
                errors.push(FieldError::new(&["forEach", "glob"], what, "write [[] for a bracket itself"));
            } else if glob.contains(['{', '}']) {
                let help = "write one Service for each pattern, or a command that lists the items";
                errors.push(FieldError::new(&["forEach", "glob"], "has braces, which stand for themselves", help));
            }
        }
        if let Some(argv) = &self.command {
            check_argv(&["forEach", "command"], argv, errors);
        }
        for (name, span) in [("every", self.every), ("timeout", self.timeout)] {
            if span.0 < StdDuration::from_millis(100) || span.0 > StdDuration::from_secs(24 * 3600) {
                errors.push(FieldError::new(&["forEach", name], "is out of range", "write 100ms to 24h"));
            }
        }
    }
}
