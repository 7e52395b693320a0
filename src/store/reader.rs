//! Reading the store, with or without a controller.
//!
//! In: a path. Out: rows, or what is wrong with the file. Not here: any write; nothing is made where nothing is.
//! The surprise: no store yet reads as an empty one. On a disk that may only be read, a store whose last changes are
//! still in its log is an error, since half of the truth would look like all of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params, params_from_iter};

use super::columns::{self, millis, nanos};
use super::rows::{AttemptRow, CursorRow, EventRow, MessageRow, MessageState, QueueRow, RunRow, TickRow};
use super::{Books, EventFilter, MessageFilter, ROWS_MAX, RunFilter, TickFilter, Trouble, schema, statements};
use crate::engine::{Cause, ObjectRef, Timestamp};

/// How long a reader waits while a controller that was killed is recovered from.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The schema with which messages came.
const MESSAGES: i64 = 2;

/// The store as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The version of its schema.
    pub schema: i64,
    /// The file and its log, in bytes.
    pub bytes: u64,
    /// How many runs and steps it has.
    pub runs: u64,
    /// How many due times.
    pub ticks: u64,
    /// How many events.
    pub events: u64,
}

/// A connection that only reads; every answer is of one moment.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Reader {
    /// Opens the store to read it. None there reads as an empty one.
    ///
    /// # Errors
    /// When the file is not a store of this version, or its disk does not answer.
    pub fn open(path: &Path) -> Result<Reader, Trouble> {
        let connection = match schema::look(path)? {
            true => Some(connect(path)?),
            false => None,
        };
        Ok(Reader { path: path.to_path_buf(), connection })
    }

    /// What can be told of the store as a whole; none where there is none yet. Reads all of it, for two seconds at most.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn survey(&self) -> Result<Option<Survey>, Trouble> {
        let Some(connection) = &self.connection else { return Ok(None) };
        schema::check(connection, &self.path)?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let number = |sql: &str| number(sql).map_err(|error| Trouble::of(&self.path, &error));
        let count = |sql: &str| number(sql).map(|count| u64::try_from(count).unwrap_or(0));
        let size = |suffix: &str| schema::beside(&self.path, suffix).metadata().map_or(0, |meta| meta.len());
        Ok(Some(Survey {
            schema: number("pragma user_version")?,
            bytes: size("").saturating_add(size("-wal")),
            runs: count("select count(*) from runs")?,
            ticks: count("select count(*) from ticks")?,
            events: count("select count(*) from events")?,
        }))
    }

    fn rows<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        to_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Trouble> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let read = || -> rusqlite::Result<Vec<T>> {
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(values, to_row)?.collect()
        };
        read().map_err(|error| Trouble::of(&self.path, &error))
    }

    /// False in a store that an older binary made and works on: it reads as one in which no message ever came.
    fn has_messages(&self) -> Result<bool, Trouble> {
        Ok(self.rows("pragma user_version", [], |row| row.get::<_, i64>(0))?.iter().any(|version| *version >= MESSAGES))
    }

    /// Rows of queues and messages.
    fn queued<T>(&self, query: Query, to_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, Trouble> {
        match self.has_messages()? {
            true => self.filtered(query, to_row),
            false => Ok(Vec::new()),
        }
    }

    fn filtered<T>(
        &self,
        query: Query,
        to_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Trouble> {
        self.rows(&query.sql, params_from_iter(query.values), to_row)
    }
}

fn connect(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |name: &Path, flags| -> Result<Connection, Trouble> {
        let trouble = |error: rusqlite::Error| Trouble::of(path, &error);
        let connection = Connection::open_with_flags(name, flags).map_err(trouble)?;
        connection.busy_timeout(WAIT_MAX).map_err(trouble)?;
        connection.pragma_update(None, "trusted_schema", false).map_err(trouble)?;
        schema::recognise(&connection, path)?;
        Ok(connection)
    };
    match open(path, flags) {
        // Reading takes part in the locks and the index of the log, for which a file may have to be made.
        Err(Trouble::Disk { .. }) if is_fixed(path) => {
            let has_log = schema::beside(path, "-wal").metadata().is_ok_and(|meta| meta.len() > 0);
            match has_log {
                true => Err(Trouble::ReadOnly { path: path.to_path_buf() }),
                false => open(Path::new(&unchanging(path)), flags | OpenFlags::SQLITE_OPEN_URI),
            }
        }
        opened => opened,
    }
}

/// True when nobody can write beside the database from here.
fn is_fixed(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("."));
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err()
}

/// The address of a database that nobody writes to.
fn unchanging(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let escaped = path.as_os_str().as_bytes().iter().map(|byte| match is_plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    format!("file:{}?immutable=1", escaped.collect::<String>())
}

/// A statement with conditions, and its values.
struct Query {
    sql: String,
    values: Vec<Value>,
    joint: &'static str,
}

impl Query {
    fn new(sql: &str) -> Query {
        Query { sql: sql.to_owned(), values: Vec::new(), joint: " where " }
    }

    /// Takes a value, and gives its place.
    fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn when(&mut self, condition: &str) {
        self.sql.push_str(self.joint);
        self.sql.push_str(condition);
        self.joint = " and ";
    }

    fn object(&mut self, object: Option<&ObjectRef>) {
        self.is("object", object.map(ObjectRef::as_str));
    }

    fn is(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            let place = self.place(text.to_owned());
            self.when(&format!("{column} = {place}"));
        }
    }

    /// The states as part of the text: an index of some of the rows is used where it can be seen that they are those.
    fn stages(&mut self, states: &[MessageState]) {
        if states.is_empty() {
            return;
        }
        let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.word())).collect();
        self.when(&format!("state in ({})", words.join(", ")));
        if states.iter().all(|state| state.is_over()) {
            self.when("ended_ms is not null");
        }
    }

    fn words(&mut self, column: &str, words: &[String]) {
        if !words.is_empty() {
            let places: Vec<String> = words.iter().map(|word| self.place(word.clone())).collect();
            self.when(&format!("{column} in ({})", places.join(", ")));
        }
    }

    fn since(&mut self, column: &str, since: Option<Timestamp>) {
        if let Some(since) = since {
            let place = self.place(millis(since));
            self.when(&format!("{column} >= {place}"));
        }
    }

    fn end(mut self, order: &str, limit: Option<usize>) -> Query {
        let place = self.place(nanos(limit.unwrap_or(ROWS_MAX).min(ROWS_MAX) as u64));
        self.sql.push_str(&format!(" order by {order} limit {place}"));
        self
    }
}

/// `*` and `?` in the spelling of SQL.
fn pattern(glob: &str) -> String {
    let letters = glob.chars().map(|letter| match letter {
        '*' => "%".to_owned(),
        '?' => "_".to_owned(),
        '%' | '_' | '\\' => format!("\\{letter}"),
        letter => letter.to_string(),
    });
    letters.collect()
}

impl Books for Reader {
    fn open_runs(&self) -> Result<Vec<RunRow>, Trouble> {
        let sql = match self.has_messages()? {
            true => statements::OPEN_RUNS,
            false => statements::OPEN_RUNS_1,
        };
        self.rows(sql, [], columns::run)
    }

    fn cursors(&self) -> Result<Vec<CursorRow>, Trouble> {
        self.rows(statements::CURSORS, [], columns::cursor)
    }

    fn last_finals(&self) -> Result<Vec<RunRow>, Trouble> {
        self.rows(statements::LAST_FINALS, [], columns::run)
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, Trouble> {
        let mut query = Query::new("select * from runs");
        query.object(filter.object.as_ref());
        query.words("coalesce(outcome, 'open')", &filter.states);
        query.since("created_ms", filter.since);
        if !filter.with_steps {
            query.when("parent is null");
        }
        self.filtered(query.end("created_ms desc, object, cause desc", filter.limit), columns::run)
    }

    fn run(&self, object: &ObjectRef, cause: &Cause) -> Result<Option<RunRow>, Trouble> {
        let rows = self.rows(statements::RUN, params![object.as_str(), cause.to_string()], columns::run)?;
        Ok(rows.into_iter().next())
    }

    fn steps(&self, object: &ObjectRef, parent: &Cause) -> Result<Vec<RunRow>, Trouble> {
        let values = params![object.as_str(), parent.to_string(), nanos(ROWS_MAX as u64)];
        self.rows(statements::STEPS, values, columns::run)
    }

    fn attempts(&self, object: &ObjectRef, cause: &Cause) -> Result<Vec<AttemptRow>, Trouble> {
        let values = params![object.as_str(), cause.to_string(), nanos(ROWS_MAX as u64)];
        self.rows(statements::ATTEMPTS, values, columns::attempt)
    }

    fn ticks(&self, filter: &TickFilter) -> Result<Vec<TickRow>, Trouble> {
        let mut query = Query::new("select * from ticks");
        query.object(filter.object.as_ref());
        query.words("state", &filter.states);
        query.since("nominal_ms", filter.since);
        self.filtered(query.end("nominal_ms desc, object", filter.limit), columns::tick)
    }

    fn claimed_messages(&self) -> Result<Vec<MessageRow>, Trouble> {
        self.queued(Query::new(statements::CLAIMED_MESSAGES), columns::message)
    }

    fn queues(&self) -> Result<Vec<QueueRow>, Trouble> {
        self.queued(Query::new(statements::QUEUES), columns::queue)
    }

    fn messages(&self, filter: &MessageFilter) -> Result<Vec<MessageRow>, Trouble> {
        let mut query = match filter.without_payload {
            true => Query::new(statements::MESSAGE_HEADS),
            false => Query::new("select * from messages"),
        };
        query.object(filter.object.as_ref());
        query.stages(&filter.states);
        query.is("sender", filter.sender.as_deref());
        query.is("grp", filter.group.as_deref());
        query.since("enqueued_ms", filter.since);
        // In the order of an index: of a long queue only the rows that are asked for are read.
        let is_over = !filter.states.is_empty() && filter.states.iter().all(|state| state.is_over());
        let order = match (is_over, &filter.object) {
            (true, _) => "ended_ms desc, seq desc",
            (false, Some(_)) => "enqueued_ms desc, seq desc",
            (false, None) => "seq desc",
        };
        self.queued(query.end(order, filter.limit), columns::message)
    }

    fn message(&self, object: &ObjectRef, id: &str) -> Result<Option<MessageRow>, Trouble> {
        let mut query = Query::new(statements::MESSAGE);
        query.values = vec![object.as_str().to_owned().into(), id.to_owned().into()];
        Ok(self.queued(query, columns::message)?.into_iter().next())
    }

    fn events(&self, filter: &EventFilter) -> Result<Vec<(i64, EventRow)>, Trouble> {
        let mut query = Query::new("select * from events");
        if let Some(subject) = filter.subject.as_ref().filter(|subject| !subject.is_empty()) {
            let place = query.place(subject.clone());
            query.when(&format!("(subject = {place} or substr(subject, 1, length({place}) + 1) = {place} || '/')"));
        }
        if let Some(kind) = &filter.kind {
            let place = query.place(pattern(kind));
            query.when(&format!("(type like {place} escape '\\' or type like {place} || '.%' escape '\\')"));
        }
        if let Some(from) = filter.from {
            // Equally long and in UTC, so they compare as text.
            let place = query.place(columns::written(from));
            query.when(&format!("time >= {place}"));
        }
        let order = match filter.since {
            Some(since) => {
                let place = query.place(since);
                query.when(&format!("id > {place}"));
                "id"
            }
            None => "id desc",
        };
        let mut events = self.filtered(query.end(order, filter.limit), columns::event)?;
        events.sort_by_key(|(id, _)| *id);
        Ok(events)
    }
}
