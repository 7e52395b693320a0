//! Turns a command as written into the argument list that is executed, and names the markers of a process of ours.
//!
//! In: a [`Command`], an instance. Out: argv, markers. Not here: the rest of the environment, executing.
//! The surprise: a line that needs no shell gets none, so that the main process is the program itself and a signal
//! reaches it.

use crate::engine::InstanceId;
use crate::engine::plan::Command;
use crate::home::Home;

/// Words that mean something to a shell and are not, or not only, programs.
const SHELL_WORDS: &[&str] = &[
    ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "elif", "else", "esac",
    "eval", "exec", "exit", "export", "fg", "fi", "for", "getopts", "hash", "if", "in", "jobs", "local", "read",
    "readonly", "return", "set", "shift", "source", "then", "times", "trap", "type", "ulimit", "umask", "unalias",
    "unset", "until", "wait", "while", "{", "}", "!",
];

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The argument list.
    pub argv: Vec<String>,
    /// True for a `run` string: its stop signal goes to the whole process group.
    pub is_line: bool,
    /// True for this program itself: its file is not looked up by the first word.
    pub is_own: bool,
}

/// The argument list of a command.
#[must_use]
pub fn executed(command: &Command) -> Executed {
    let (argv, is_line, is_own) = match command {
        Command::Argv(argv) => (argv.clone(), false, false),
        Command::Line(line) if is_plain(line) => {
            (line.split_ascii_whitespace().map(str::to_owned).collect(), true, false)
        }
        Command::Line(line) => (vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()], true, false),
        Command::Own(words) => ([&["setpoint".to_owned()], words.as_slice()].concat(), false, true),
    };
    Executed { argv, is_line, is_own }
}

/// True when a shell would do nothing with the line but split it at blanks.
fn is_plain(line: &str) -> bool {
    let is_special = |c: char| "|&;<>()$`\\\"'*?[]#~={}%!^\n\r".contains(c);
    let first = line.split_ascii_whitespace().next();
    !line.contains(is_special) && first.is_some_and(|word| !SHELL_WORDS.contains(&word))
}

/// The variables by which a process is known as ours; shims carry them too.
#[must_use]
pub fn markers(home: &Home, id: &InstanceId, attempt: u32) -> [(String, String); 3] {
    [
        ("SETPOINT_HOME".to_owned(), home.root().display().to_string()),
        ("SETPOINT_INSTANCE".to_owned(), format!("{}/{id}", home.id())),
        ("SETPOINT_ATTEMPT".to_owned(), attempt.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(executed(&Command::Line(line.to_owned())).argv, expected, "{line}");
    }

    #[test]
    fn a_line_without_shell_syntax_needs_no_shell() {
        check("sleep 100", &["sleep", "100"]);
        check("  python3   -m http.server ", &["python3", "-m", "http.server"]);
    }

    #[test]
    fn this_program_is_named_after_itself() {
        let executed = executed(&Command::Own(vec!["call".to_owned()]));
        let argv = ["setpoint", "call"].map(str::to_owned).to_vec();
        assert_eq!(executed, Executed { argv, is_line: false, is_own: true });
    }

    #[test]
    fn a_line_with_shell_syntax_gets_a_shell() {
        for line in ["exec sleep 1", "a && b", "echo $HOME", "A=1 b", "cd /tmp", "echo 'x'", "a\nb", "ls *.rs"] {
            check(line, &["/bin/sh", "-c", line]);
        }
    }
}
