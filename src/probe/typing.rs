//! Types a line into a running instance.
//!
//! In: the socket of its shim, and a line. Out: whether it was taken. Not here: who types, and when.
//! The surprise: the answer says that the shim has it and that the payload has not closed its input, not that the
//! payload has read it.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::net::plain;
use crate::record::frame::{Answer, Next, Word, next};

/// The most bytes of answers that are read: one state is all that was asked for.
const ANSWER_MAX: usize = 8 << 10;

/// Types `line` and a newline.
///
/// # Errors
/// When nobody listens, or the payload has closed its input.
pub async fn type_line(socket: &Path, line: &str) -> Result<String, String> {
    let gone = |error: std::io::Error| format!("nothing can be typed into it: {}", plain(&error));
    let mut stream = UnixStream::connect(socket).await.map_err(gone)?;
    let mut bytes = Vec::new();
    Word::Input(format!("{line}\n").as_bytes()).put(&mut bytes);
    Word::Ask.put(&mut bytes);
    stream.write_all(&bytes).await.map_err(gone)?;
    let mut heard = Vec::new();
    while heard.len() < ANSWER_MAX {
        while let Next::Whole(frame) = next(&heard) {
            let length = frame.length();
            match Answer::of(&frame) {
                Some(Answer::State(state)) if state.is_closed => return Err("its standard input is closed".to_owned()),
                Some(Answer::State(_)) => return Ok("typed".to_owned()),
                Some(Answer::Refused(why)) => return Err(why.to_owned()),
                Some(Answer::Ended(how)) => return Err(format!("it has ended: {how}")),
                Some(Answer::Kept(_) | Answer::Output(_)) | None => _ = heard.drain(..length),
            }
        }
        if stream.read_buf(&mut heard).await.map_err(gone)? == 0 {
            break;
        }
    }
    Err("its shim gave no answer".to_owned())
}
