//! Server-sent events: messages in a body that stays open.
//!
//! In: a reader. Out: one event after the other. Not here: what they mean.
//! The surprise: an event without data still tells its id and how long to wait before asking for the rest.

use std::io::{BufRead, Read};
use std::time::Duration;

use super::MESSAGE_MAX;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What it says, line breaks between its lines.
    pub data: String,
    /// Where to go on after it, if it says so.
    pub id: Option<String>,
    /// How long to wait before asking again, if it says so.
    pub retry: Option<Duration>,
}

/// Reads the next event; nothing at the end of the body. An event that is cut off by it is none.
///
/// # Errors
/// The system's error, or `InvalidData` when the event is too long.
pub fn next(body: &mut impl BufRead) -> std::io::Result<Option<Event>> {
    let mut event = Event::default();
    let mut is_empty = true;
    let mut data: Option<String> = None;
    let mut length = 0;
    loop {
        let mut line = Vec::new();
        let read = body.by_ref().take(MESSAGE_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        length += read;
        if length > MESSAGE_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        if read == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            if is_empty {
                continue;
            }
            event.data = data.unwrap_or_default();
            return Ok(Some(event));
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
            "retry" => event.retry = value.parse().ok().map(Duration::from_millis),
            _ => continue,
        }
        is_empty = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Event, next};

    #[test]
    fn events_come_one_by_one() {
        let text = ": hello\r\n\r\nid: 1\r\nretry: 250\r\ndata:\r\n\r\nevent: message\ndata: {\"a\":\ndata:  1}\n\n\ndata: cut";
        let mut body = text.as_bytes();
        let first = Event { data: String::new(), id: Some("1".to_owned()), retry: Some(Duration::from_millis(250)) };
        let second = Event { data: "{\"a\":\n 1}".to_owned(), ..Event::default() };
        assert_eq!(next(&mut body).expect("an event"), Some(first));
        assert_eq!(next(&mut body).expect("an event"), Some(second));
        assert_eq!(next(&mut body).expect("the end"), None);
    }
}
