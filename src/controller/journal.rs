//! The event log of a home: append-only files of JSON lines, bounded.
//!
//! In: what happened. Out: a line in `events/`. Not here: asking for events.
//! The surprise: two files at most. When the newer one is full the older one goes, so about ten thousand events are
//! kept and no file is ever rewritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How many events a file holds.
pub const EVENTS_PER_FILE: usize = 5000;

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Event {
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// What, like `service.crashed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// About which object or instance, like `service/web/0`.
    pub subject: String,
    /// In words.
    pub text: String,
}

/// The writer; only the controller has one.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: Option<File>,
    number: u64,
    lines: usize,
}

impl Journal {
    /// Goes on where the last one stopped. A folder that cannot be written drops events and nothing else.
    #[must_use]
    pub fn open(folder: &Path) -> Journal {
        let number = files(folder).last().map_or(1, |(number, _)| *number);
        let lines = std::fs::read(path(folder, number)).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
        Journal { folder: folder.to_owned(), file: None, number, lines }
    }

    /// Writes one event. It is a convenience for people: one that cannot be written is dropped.
    pub fn write(&mut self, event: &Event) {
        _ = self.append(event);
    }

    fn append(&mut self, event: &Event) -> io::Result<()> {
        if self.lines >= EVENTS_PER_FILE {
            self.number += 1;
            (self.lines, self.file) = (0, None);
            for (number, old) in files(&self.folder) {
                if number + 1 < self.number {
                    _ = std::fs::remove_file(old);
                }
            }
        }
        if self.file.is_none() {
            std::fs::create_dir_all(&self.folder)?;
            self.file = Some(OpenOptions::new().create(true).append(true).open(path(&self.folder, self.number))?);
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if let Some(file) = &mut self.file {
            file.write_all(&line)?;
        }
        self.lines += 1;
        Ok(())
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.jsonl"))
}

fn files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let number = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()?;
        Some((number, path))
    };
    let mut found: Vec<_> = entries.flatten().filter_map(|entry| number(entry.path())).collect();
    found.sort();
    found
}

/// All events that are kept, oldest first. A line that is torn or unknown is left out.
#[must_use]
pub fn read(folder: &Path) -> Vec<Event> {
    let text = |(_, path): (u64, PathBuf)| std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<String> = files(folder).into_iter().map(text).collect();
    lines.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str(line).ok()).collect()
}
