//! Types a line into a running instance.
//!
//! In: the socket of its shim, and a line. Out: whether it was taken. Not here: who types, and when.
//! The surprise: at a terminal Enter is pressed only when the text has been read: a program that reads key by key
//! takes both in one go for a paste.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::net::plain;
use crate::record::frame::{Answer, Next, State, Word, next};

/// The most bytes of answers that are read for one question.
const ANSWER_MAX: usize = 8 << 10;

/// How often is asked whether the text has been read, and how many times at most: a second in all.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 50;

/// Types `line` and ends it.
///
/// # Errors
/// When nobody listens, or the payload has closed its input.
pub async fn type_line(socket: &Path, line: &str) -> Result<String, String> {
    let mut keys = Keys { stream: UnixStream::connect(socket).await.map_err(|e| gone(&e))?, heard: Vec::new() };
    let state = keys.ask("").await?;
    if !state.is_tty {
        return keys.ask(&format!("{line}\n")).await.map(|_| "typed".to_owned());
    }
    let mut state = keys.ask(line).await?;
    for _ in 0..LOOKS_MAX {
        // A terminal that hands its input over line by line gives nothing away before Enter.
        if state.is_lines || (state.held == 0 && state.unread == 0) {
            break;
        }
        tokio::time::sleep(LOOK).await;
        state = keys.ask("").await?;
    }
    keys.ask("\r").await.map(|_| "typed".to_owned())
}

fn gone(error: &std::io::Error) -> String {
    format!("nothing can be typed into it: {}", plain(error))
}

/// A connection to a shim.
struct Keys {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Keys {
    /// Presses these keys, and asks how far the input is.
    async fn ask(&mut self, keys: &str) -> Result<State, String> {
        let mut bytes = Vec::new();
        Word::Input(keys.as_bytes()).put(&mut bytes);
        Word::Ask.put(&mut bytes);
        self.stream.write_all(&bytes).await.map_err(|e| gone(&e))?;
        self.heard.clear();
        while self.heard.len() < ANSWER_MAX {
            while let Next::Whole(frame) = next(&self.heard) {
                let length = frame.length();
                match Answer::of(&frame) {
                    Some(Answer::State(state)) if state.is_closed => {
                        return Err("its standard input is closed".to_owned());
                    }
                    Some(Answer::State(state)) => return Ok(state),
                    Some(Answer::Refused(why)) => return Err(why.to_owned()),
                    Some(Answer::Ended(how)) => return Err(format!("it has ended: {how}")),
                    Some(Answer::Kept(_) | Answer::Output(_)) | None => _ = self.heard.drain(..length),
                }
            }
            if self.stream.read_buf(&mut self.heard).await.map_err(|e| gone(&e))? == 0 {
                break;
            }
        }
        Err("its shim gave no answer".to_owned())
    }
}
