//! What is said to a command line that cannot be parsed, beyond what the parser says.
//!
//! In: the parser's error. Out: the same, and how to say what was probably meant. Not here: parsing.
//! The surprise: most of it is for people who know another tool; its verbs are answered with ours.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit;

/// Verbs of other tools, and what does that here.
const VERBS: &[(&str, &str)] = &[
    ("add", "setpoint apply -f FILE"),
    ("check", "setpoint validate -f FILE"),
    ("create", "setpoint apply -f FILE; setpoint init writes a first manifest"),
    ("daemon", "setpoint controller start"),
    ("disable", "setpoint pause NAME"),
    ("down", "setpoint delete NAME, or setpoint controller stop --all"),
    ("edit", "edit its file, then setpoint apply -f FILE; setpoint describe NAME names the file"),
    ("enable", "setpoint resume NAME"),
    ("enter", "setpoint describe NAME names its process"),
    ("install", "setpoint controller install has the system start the controller"),
    ("journal", "setpoint logs NAME"),
    ("kill", "setpoint restart NAME, or setpoint pause NAME to keep it down"),
    ("list", "setpoint get"),
    ("log", "setpoint logs NAME"),
    ("ls", "setpoint get"),
    ("ps", "setpoint get"),
    ("reload", "setpoint apply -f FILE"),
    ("remove", "setpoint delete NAME"),
    ("rm", "setpoint delete NAME"),
    ("rollback", "setpoint undo NAME"),
    ("rollout", "setpoint restart NAME, setpoint history NAME, setpoint undo NAME"),
    ("scale", "write replicas: N in its manifest, then setpoint apply -f FILE"),
    ("show", "setpoint describe NAME"),
    ("shutdown", "setpoint controller stop --all"),
    ("status", "setpoint get, setpoint describe NAME, or setpoint controller status"),
    ("tail", "setpoint logs NAME -f"),
    ("uninstall", "setpoint controller uninstall"),
    ("up", "setpoint apply -f FILE"),
    ("update", "setpoint apply -f FILE"),
];

/// Prints the parser's words and ours. The exit code is 0 for `--help` and the like.
pub fn explain(error: &clap::Error) -> ExitCode {
    // Nobody to tell when the stream is gone.
    _ = error.print();
    if let Some(help) = help(error) {
        super::complain(&format!("  help: {help}"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
}

fn help(error: &clap::Error) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => String::new(),
    };
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let verb = ["apply", "diff", "validate"].into_iter().find(|verb| usage.contains(&format!("setpoint {verb} ")));
    match (error.kind(), verb) {
        (ErrorKind::InvalidSubcommand, _) => {
            let typed = word(ContextKind::InvalidSubcommand);
            VERBS.iter().find(|(verb, _)| *verb == typed).map(|(_, meant)| (*meant).to_owned())
        }
        (ErrorKind::UnknownArgument, Some(verb)) if !word(ContextKind::InvalidArg).starts_with('-') => {
            Some(format!("name files and folders with -f: setpoint {verb} -f {}", word(ContextKind::InvalidArg)))
        }
        (ErrorKind::MissingRequiredArgument, Some(verb)) => {
            Some(format!("for example: setpoint {verb} -f manifests/   (setpoint init writes a first one)"))
        }
        (ErrorKind::MissingRequiredArgument, _) if usage.contains("setpoint cron ") => {
            Some("for example: setpoint cron '0 3 * * 1-5'".to_owned())
        }
        (ErrorKind::MissingRequiredArgument, None) if usage.contains("setpoint explain ") => {
            Some("for example: setpoint explain service, setpoint explain service.backoff".to_owned())
        }
        (ErrorKind::MissingRequiredArgument, None) if usage.contains("OBJECT") || usage.contains("KIND/NAME") => {
            Some("setpoint get lists what there is".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::VERBS;

    #[test]
    fn foreign_verbs_are_sorted_and_none_is_ours() {
        assert!(VERBS.is_sorted());
        let command = crate::cli::Cli::command();
        for (foreign, _) in VERBS {
            assert!(command.find_subcommand(foreign).is_none(), "{foreign} is ours");
        }
    }
}
