//! `setpoint call`: one call of a capability that is no program: an HTTP request, a tool of an MCP server, or a word to
//! setpoint itself.
//!
//! In: an order as JSON on standard input. Out: the answer on standard output, words on standard error, an exit code.
//! Not here: references between parameters, which the engine has resolved, and what a builtin answers (`cli`).
//! The surprise: this is a payload like any other, in a process of its own under a shim, so its time limit, its log and
//! its end need no code here; and whatever a secret could stand in (a query, a header, a body, an environment) is never
//! part of a text.

pub mod http;
pub mod mcp;
pub mod order;
mod url;
pub mod web;

use std::io::{self, Read, Write};

use order::{Builtin, Order, Work};
use serde_json::Value;

/// The most bytes of an order; a shim hands over no more.
pub const ORDER_MAX: usize = 1 << 20;
/// The most bytes of an answer that are printed; more is left out, and said.
pub const ANSWER_MAX: usize = 1 << 20;

/// Why a call came to nothing: one line, and the code to exit with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The order is not one; 2.
    #[error("{0}")]
    Order(String),
    /// It was tried and failed; 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Failure::Order(_) => 2,
            Failure::Failed(_) => 1,
        }
    }

    fn failed(text: impl Into<String>) -> Failure {
        Failure::Failed(text.into())
    }
}

/// Does what an order says and prints the answer. `builtin` answers for setpoint itself.
///
/// # Errors
/// When the order is none, or what it asks for failed.
pub fn run(input: impl Read, builtin: impl FnOnce(Builtin) -> Result<Value, String>) -> Result<(), Failure> {
    let Order { work, params } = order::read(input)?;
    match work {
        Work::Http(request) => http::call(&request, &params),
        Work::Mcp(tool) => mcp::call(&tool, params),
        Work::Builtin(name) => {
            let answer = builtin(name).map_err(Failure::Failed)?;
            print(format!("{answer}\n").as_bytes())
        }
    }
}

/// Prints an answer, or as much of it as is kept.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let kept = bytes.get(..bytes.len().min(ANSWER_MAX)).unwrap_or(bytes);
    let mut out = io::stdout().lock();
    let written = out.write_all(kept).and_then(|()| out.flush());
    written.map_err(|error| Failure::failed(format!("the answer cannot be written: {error}")))?;
    if kept.len() < bytes.len() {
        say("the answer is longer than 1 MiB; the rest of it is left out");
    }
    Ok(())
}

/// Says something beside the answer. Control characters of a stranger are shown, not obeyed, and it stays one line.
fn say(text: &str) {
    // Nobody to tell when stderr is gone.
    _ = writeln!(io::stderr(), "{}", plain(text));
}

/// A text of a stranger on one line, without what a terminal would obey, and with an end.
fn plain(text: &str) -> String {
    const CHARS_MAX: usize = 2000;
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let mut plain: String = text.trim_end().chars().take(CHARS_MAX).map(shown).collect();
    if text.trim_end().chars().nth(CHARS_MAX).is_some() {
        plain.push('\u{2026}');
    }
    plain
}
