//! Writing to SQLite.
//!
//! In: a batch of requests. Out: one transaction, and an answer for each. Not here: who waits for the answers.
//! The surprise: each request is a savepoint of its own. One that the database refuses is undone alone; trouble with the
//! disk undoes them all, and none of them is half written.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{cut, cut_text, millis, nanos, written};
use super::rows::{AttemptRow, CursorRow, EndRow, EventRow, ExitRow, OriginRow, RunRow, TickRow};
use super::trouble::Fault;
use super::write::{Finish, Reply, ResultSource, Write};
use super::{
    DATA_MAX, Durable, ROWS_MAX, TEXT_MAX, Trouble, WORD_MAX, columns, enqueue, messages, prune, schema, statements,
};
use crate::engine::{Cause, ObjectRef, Timestamp};

/// The word of an end that stands when a run is tried again.
pub(super) const OK: &str = "ok";
/// So many rows that a gap may begin with are stepped over at most; each is a step back of the clock.
const SETTLED_MAX: usize = 100;

/// The one connection that writes.
#[derive(Debug)]
pub struct Sqlite {
    pub(super) connection: Connection,
    path: PathBuf,
    /// The device and inode of what was opened.
    file: Option<(u64, u64)>,
    /// The same file once more, to look at its first bytes. Closed after the connection, whose locks go with any
    /// descriptor of the file that this process closes.
    header: Option<File>,
}

pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Sqlite {
    /// Opens the database, and makes it when there is none; `is_checked` reads it whole first, for two seconds at most.
    ///
    /// # Errors
    /// When the disk does not take it, or the file is not a store of this or an earlier version.
    pub fn open(path: &Path, is_checked: bool) -> Result<Sqlite, Trouble> {
        schema::open(path, is_checked).map(|connection| Sqlite::of(connection, path))
    }

    /// Opens a database that was in use before: where it is gone, none is made in its place.
    ///
    /// # Errors
    /// As [`Sqlite::open`], and when it is gone.
    pub fn again(path: &Path) -> Result<Sqlite, Trouble> {
        schema::reopen(path, true).map(|connection| Sqlite::of(connection, path))
    }

    fn of(connection: Connection, path: &Path) -> Sqlite {
        Sqlite { connection, path: path.to_path_buf(), file: identity(path), header: File::open(path).ok() }
    }

    /// The device and inode of what was opened.
    #[must_use]
    pub fn file(&self) -> Option<(u64, u64)> {
        self.file
    }

    /// Whether what is written still goes where it will be looked for: one look at the file and its first bytes.
    fn look(&self) -> Result<(), Trouble> {
        let moved = |why: &str| Err(Trouble::Moved { path: self.path.clone(), why: why.into() });
        match identity(&self.path) {
            None => return moved("it is gone"),
            Some(_) if self.file != identity(&self.path) => return moved("another file is in its place"),
            Some(_) => {}
        }
        let mut bytes = [0; schema::HEADER_BYTES];
        let is_read = self.header.as_ref().is_some_and(|file| file.read_exact_at(&mut bytes, 0).is_ok());
        if is_read && schema::is_ours(&bytes) { Ok(()) } else { moved("its bytes are those of something else") }
    }

    fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        Trouble::of(&self.path, error)
    }

    fn batch(&self, batch: Vec<Write>) -> Result<Vec<Result<Reply, Trouble>>, Trouble> {
        let run = |sql: &str| self.execute(sql, []).map(drop).map_err(|error| self.trouble(&error));
        run("begin immediate")?;
        let mut answers = Vec::with_capacity(batch.len());
        for write in batch {
            run("savepoint request")?;
            let answer = self.request(write).map_err(|fault| fault.trouble(&self.path));
            match answer {
                Err(trouble) if !trouble.is_of_one() => return Err(trouble),
                Err(_) => run("rollback to request")?,
                Ok(_) => {}
            }
            run("release request")?;
            answers.push(answer);
        }
        run("commit")?;
        Ok(answers)
    }

    fn request(&self, write: Write) -> Result<Reply, Fault> {
        let reply = match write {
            // Written anew with the same value: to open a store on a full disk is no news.
            Write::Open => {
                self.connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
                Reply::Done
            }
            Write::Look => Reply::Done,
            Write::Register(cursor) => self.cursor(Some(&cursor))?,
            Write::Note { ticks, cursor } => {
                let mut is_new = ticks.is_empty();
                for tick in &ticks {
                    is_new |= self.tick(tick)?;
                }
                self.cursor(cursor.as_ref())?;
                if is_new { Reply::Done } else { Reply::Already(None) }
            }
            Write::Fire { tick, passed, run, cursor } => {
                for tick in &passed {
                    self.tick(tick)?;
                }
                self.fire(tick.as_ref(), &run, cursor.as_ref())?
            }
            Write::Attempt(attempt) => self.attempt(&attempt)?,
            Write::Finish(finish) => self.finish(*finish)?,
            Write::Cancel { object, cause, by } => {
                let by = cut(&by, WORD_MAX);
                let changed = self.execute(statements::CANCEL_RUN, params![by, object.as_str(), cause.to_string()])?;
                self.changed(changed, &object, &cause)?
            }
            Write::Reopen { object, cause, by, at } => self.reopen(&object, &cause, &by, at)?,
            Write::Events { events, kept } => self.events(&events, kept)?,
            Write::Enqueue(enqueue) => enqueue::enqueue(self, *enqueue)?,
            Write::Claim(claim) => messages::claim(self, &claim)?,
            Write::Return(back) => messages::give_back(self, &back)?,
            Write::Withdraw { object, id, by, at } => messages::withdraw(self, &object, &id, &by, at)?,
            Write::Dead(letter) => messages::dead(self, &letter)?,
            Write::Prune(retention) => Reply::Pruned(prune::slice(self, &retention)?),
        };
        Ok(reply)
    }

    pub(super) fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    pub(super) fn run(&self, object: &ObjectRef, cause: &Cause) -> rusqlite::Result<Option<RunRow>> {
        let mut statement = self.connection.prepare_cached(statements::RUN)?;
        statement.query_row(params![object.as_str(), cause.to_string()], columns::run).optional()
    }

    fn reopen(&self, object: &ObjectRef, cause: &Cause, by: &str, at: Timestamp) -> Result<Reply, Fault> {
        let is_of_message = |run: &RunRow| matches!(run.origin, OriginRow::Message);
        if self.run(object, cause)?.as_ref().is_some_and(is_of_message) {
            // It would be open, and its message would not: nobody would ever work on it.
            return Err(Fault::Refused(format!(
                "{object}/{cause} is the run of a message, which is tried again as a whole\n  help: `setpoint dead retry` \
                 does that with a dead letter"
            )));
        }
        let changed = self.reopen_run(object, cause, Some(by), at, OK)?;
        let Some(run) = self.run(object, cause)?.map(Box::new) else { return Ok(Reply::Unknown) };
        if changed == 0 {
            return Ok(Reply::Already(Some(run)));
        }
        Ok(Reply::Reopened { run, steps: self.steps(object, cause)? })
    }

    /// Opens a run that is over, with its steps but those that ended with the word `kept`. How many runs that were.
    pub(super) fn reopen_run(
        &self,
        object: &ObjectRef,
        cause: &Cause,
        by: Option<&str>,
        at: Timestamp,
        kept: &str,
    ) -> rusqlite::Result<usize> {
        let by = by.map(|by| cut(by, WORD_MAX));
        let name = cause.to_string();
        let changed = self.execute(statements::REOPEN_RUN, params![by, millis(at), object.as_str(), name])?;
        if changed > 0 {
            self.execute(statements::REOPEN_STEPS, params![by, object.as_str(), kept, name])?;
        }
        Ok(changed)
    }

    pub(super) fn steps(&self, object: &ObjectRef, parent: &Cause) -> rusqlite::Result<Vec<RunRow>> {
        let mut statement = self.connection.prepare_cached(statements::STEPS)?;
        let values = params![object.as_str(), parent.to_string(), nanos(ROWS_MAX as u64)];
        statement.query_map(values, columns::run)?.collect()
    }

    /// The answer to a change of one run, by the number of rows it changed.
    fn changed(&self, count: usize, object: &ObjectRef, cause: &Cause) -> rusqlite::Result<Reply> {
        if count > 0 {
            return Ok(Reply::Done);
        }
        Ok(self.run(object, cause)?.map_or(Reply::Unknown, |run| Reply::Already(Some(Box::new(run)))))
    }

    fn cursor(&self, cursor: Option<&CursorRow>) -> rusqlite::Result<Reply> {
        let Some(cursor) = cursor else { return Ok(Reply::Done) };
        self.execute(
            statements::UPSERT_CURSOR,
            params![
                cursor.object.as_str(),
                cursor.uid,
                cursor.key,
                millis(cursor.since),
                millis(cursor.at),
                nanos(cursor.set_wall.nanos()),
                nanos(cursor.set_boot.nanos()),
                cursor.boot_id.as_str(),
            ],
        )?;
        Ok(Reply::Done)
    }

    /// True when this is what is decided about the due time now. A gap that begins where a due time was settled already,
    /// because the clock was set back since, begins right after that.
    fn tick(&self, tick: &TickRow) -> rusqlite::Result<bool> {
        let mut tick = tick.clone();
        for _ in 0..SETTLED_MAX {
            if self.row(&tick)? {
                return Ok(true);
            }
            let (Some(to), Some((end, count))) = (tick.to, self.settled(&tick)?) else { return Ok(false) };
            if end >= to {
                return Ok(false);
            }
            tick.nominal = end.after(Duration::from_millis(1));
            tick.count = tick.count.saturating_sub(count).max(1);
        }
        Ok(false)
    }

    /// How far the row goes that begins where this one would, and how many due times that settles.
    fn settled(&self, tick: &TickRow) -> rusqlite::Result<Option<(Timestamp, u64)>> {
        let mut statement = self.connection.prepare_cached(statements::TICK)?;
        let found =
            statement.query_row(params![tick.object.as_str(), millis(tick.nominal)], columns::tick).optional()?;
        Ok(found.map(|tick| (tick.to.unwrap_or(tick.nominal), tick.count)))
    }

    fn row(&self, tick: &TickRow) -> rusqlite::Result<bool> {
        let changed = self.execute(
            statements::UPSERT_TICK,
            params![
                tick.object.as_str(),
                millis(tick.nominal),
                tick.uid,
                tick.to.map(millis),
                nanos(tick.count),
                tick.state,
                cut_text(tick.reason.as_ref()),
                millis(tick.at),
                tick.cause.as_ref().map(Cause::to_string),
            ],
        )?;
        Ok(changed > 0)
    }

    fn fire(&self, tick: Option<&TickRow>, run: &RunRow, cursor: Option<&CursorRow>) -> rusqlite::Result<Reply> {
        let is_due = tick.map(|tick| self.tick(tick)).transpose()?.unwrap_or(true);
        let is_fired = is_due && self.insert(run, run.end.as_ref())?;
        self.cursor(cursor)?;
        self.changed(usize::from(is_fired), &run.object, &run.cause).map(|reply| match reply {
            // Decided otherwise, or fired so long ago that its run has been forgotten.
            Reply::Unknown => Reply::Already(None),
            reply => reply,
        })
    }

    pub(super) fn insert(&self, run: &RunRow, end: Option<&EndRow>) -> rusqlite::Result<bool> {
        let (code, signal) = exit(end.and_then(|end| end.exit));
        let (nominal, by) = match &run.origin {
            OriginRow::Tick(nominal) => (Some(millis(*nominal)), None),
            OriginRow::Person(by) => (None, Some(cut(by, WORD_MAX))),
            OriginRow::Generation | OriginRow::Step | OriginRow::Message => (None, None),
        };
        let changed = self.execute(
            statements::INSERT_RUN,
            params![
                run.object.as_str(),
                run.cause.to_string(),
                run.uid,
                run.parent.as_ref().map(Cause::to_string),
                run.origin.word(),
                by,
                nominal,
                millis(run.due),
                millis(run.created),
                run.started.map(millis),
                end.map(|end| millis(end.ended)),
                if end.is_some() { "final" } else { "open" },
                end.map(|end| &end.outcome),
                end.and_then(|end| cut_text(end.reason.as_ref())),
                run.attempts,
                run.base_attempts,
                run.cancel,
                run.reopened,
                run.params,
                end.and_then(|end| end.result.as_ref()).map(|given| &given.text),
                end.and_then(|end| end.result.as_ref()).and_then(|given| given.size.as_ref()),
                code,
                signal,
                nanos(run.generation),
                run.catches_up,
            ],
        )?;
        Ok(changed > 0)
    }

    pub(super) fn attempt(&self, attempt: &AttemptRow) -> rusqlite::Result<Reply> {
        if self.run(&attempt.object, &attempt.cause)?.is_none() {
            return Ok(Reply::Unknown);
        }
        let cause = attempt.cause.to_string();
        let started = attempt.started.map(millis);
        self.execute(
            statements::UPSERT_ATTEMPT,
            params![
                attempt.object.as_str(),
                cause,
                attempt.number,
                started,
                attempt.ended.map(millis),
                cut_text(attempt.exit.as_ref())
            ],
        )?;
        self.execute(statements::TRY_RUN, params![attempt.number, started, attempt.object.as_str(), cause])?;
        Ok(Reply::Done)
    }

    fn finish(&self, mut finish: Finish) -> Result<Reply, Fault> {
        let message = finish.message.take();
        let is_of_message = message.is_some();
        if let Some(message) = message
            && !messages::end(self, message, &finish)?
        {
            // It was claimed anew, or is over: nor is this the end of its run.
            return Ok(Reply::Already(self.run(&finish.object, &finish.cause)?.map(Box::new)));
        }
        let Finish { object, cause, outcome, reason, started, ended, attempts, exit: how, result, .. } = finish;
        let (tries, otherwise) = (finish.tries, finish.otherwise);
        let result = match result {
            ResultSource::None => None,
            ResultSource::Text(text) => Some(text),
            ResultSource::Capture(capture) => capture(),
        };
        let result = result.map(columns::kept_result);
        let end = EndRow { outcome, reason, ended, exit: how, result };
        let (code, signal) = exit(end.exit);
        let mut changed = self.execute(
            statements::FINISH_RUN,
            params![
                end.outcome,
                cut_text(end.reason.as_ref()),
                started.map(millis),
                millis(end.ended),
                attempts,
                end.result.as_ref().map(|given| &given.text),
                end.result.as_ref().and_then(|given| given.size.as_ref()),
                code,
                signal,
                object.as_str(),
                cause.to_string(),
            ],
        )?;
        if changed == 0
            && let Some(run) = otherwise
        {
            let started = started.or(run.started);
            let run = RunRow { object: object.clone(), cause: cause.clone(), attempts, started, ..*run };
            changed = usize::from(self.insert(&run, Some(&end))?);
        }
        if changed > 0 {
            for attempt in tries {
                self.attempt(&AttemptRow { object: object.clone(), cause: cause.clone(), ..attempt })?;
            }
        }
        match self.changed(changed, &object, &cause)? {
            Reply::Unknown if is_of_message => Ok(Reply::Done),
            reply => Ok(reply),
        }
    }

    fn events(&self, events: &[EventRow], kept: u32) -> rusqlite::Result<Reply> {
        for event in events {
            let data = event.data.as_ref().filter(|data| data.len() <= DATA_MAX);
            self.execute(
                statements::INSERT_EVENT,
                params![
                    written(event.time),
                    cut(&event.kind, WORD_MAX),
                    cut(&event.subject, WORD_MAX),
                    cut(&event.text, TEXT_MAX),
                    data
                ],
            )?;
        }
        // The bound holds although nobody prunes: more can go than come.
        prune::events(self, kept, events.len().saturating_mul(2).max(1))?;
        Ok(Reply::Done)
    }
}

pub(super) fn exit(how: Option<ExitRow>) -> (Option<i32>, Option<i32>) {
    match how {
        Some(ExitRow::Code(code)) => (Some(code), None),
        Some(ExitRow::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    }
}

impl Durable for Sqlite {
    fn commit(&mut self, batch: Vec<Write>) -> Result<Vec<Result<Reply, Trouble>>, Trouble> {
        // What is written to another file would be answered and never found again.
        self.look()?;
        if batch.iter().all(|write| matches!(write, Write::Look)) {
            return Ok(batch.iter().map(|_| Ok(Reply::Done)).collect());
        }
        let has_pruned = batch.iter().any(|write| matches!(write, Write::Prune(_)));
        let answers = self.batch(batch);
        if answers.is_err() && !self.connection.is_autocommit() {
            // Some errors have ended the transaction already; what cannot be undone is not written either.
            _ = self.connection.execute_batch("rollback");
        }
        if answers.is_ok() && has_pruned {
            prune::shrink(&self.connection);
        }
        answers
    }
}
