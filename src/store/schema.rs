//! The tables, how they came about, and the opening of a database that is ours and whole.
//!
//! In: a path. Out: a connection, or what is wrong with the file. Not here: what is written and read.
//! The surprise: a new database is made under another name and linked into place when it is whole. So a file that is
//! empty, or gone while its log is not, is damage, and never taken for a first start.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{BUSY_MAX, Trouble};

/// Says in the header of the file whose it is: `sptd`.
pub(super) const APPLICATION_ID: i64 = 0x7370_7464;
/// How long a database is checked when it is opened; a larger one is checked as far as that goes.
const CHECK_MAX: Duration = Duration::from_secs(2);
/// What is left of the log after a checkpoint, in bytes.
const LOG_BYTES_MAX: u32 = 4 << 20;
const STATEMENTS_MAX: usize = 128;
const MODE: u32 = 0o600;
/// The first bytes of a database, up to the application id.
pub(super) const HEADER_BYTES: usize = 72;

/// Each makes the next version of the schema out of the one before; the first out of nothing. Only ever appended to.
///
/// Moments are milliseconds since 1970 UTC where they are compared or subtracted (`datetime(x / 1000, 'unixepoch')`
/// shows one), RFC 3339 where people only read them.
pub const MIGRATIONS: &[&str] = &[
    "
create table runs (
    object text not null,
    cause text not null,
    uid text not null,
    parent text,
    origin text not null check (origin in ('tick', 'generation', 'person', 'step')),
    asked_by text,
    nominal_ms integer,
    due_ms integer not null,
    created_ms integer not null,
    started_ms integer,
    ended_ms integer,
    state text not null check (state in ('open', 'final')),
    outcome text,
    reason text,
    attempts integer not null,
    base_attempts integer not null,
    cancelled_by text,
    reopened_by text,
    params text,
    result text,
    exit_code integer,
    exit_signal integer,
    generation integer not null,
    primary key (object, cause),
    check ((state = 'final') = (outcome is not null)),
    check ((state = 'final') = (ended_ms is not null)),
    check (exit_code is null or exit_signal is null)
) strict;
create index runs_open on runs (object) where state = 'open';
create index runs_steps on runs (object, parent) where parent is not null;
create index runs_newest on runs (created_ms);

create table attempts (
    object text not null,
    cause text not null,
    number integer not null,
    started_ms integer,
    ended_ms integer,
    exit text,
    primary key (object, cause, number),
    foreign key (object, cause) references runs (object, cause) on delete cascade
) strict;

create table ticks (
    object text not null,
    nominal_ms integer not null,
    uid text not null,
    to_ms integer,
    count integer not null check (count > 0),
    state text not null check (state in ('Fired', 'Skipped', 'Deferred', 'Missed', 'Held', 'ClockStep')),
    reason text,
    at_ms integer not null,
    cause text,
    primary key (object, nominal_ms)
) strict;
create index ticks_newest on ticks (nominal_ms);

create table cursors (
    object text primary key not null,
    uid text not null,
    key text not null,
    since_ms integer not null,
    at_ms integer not null,
    set_wall_ns integer not null,
    set_boot_ns integer not null,
    boot_id text not null
) strict;

create table events (
    id integer primary key not null,
    time text not null,
    type text not null,
    subject text not null,
    text text not null,
    data text
) strict;
",
    "
create table runs_2 (
    object text not null,
    cause text not null,
    uid text not null,
    parent text,
    origin text not null check (origin in ('tick', 'generation', 'person', 'step', 'message')),
    asked_by text,
    nominal_ms integer,
    due_ms integer not null,
    created_ms integer not null,
    started_ms integer,
    ended_ms integer,
    state text not null check (state in ('open', 'final')),
    outcome text,
    reason text,
    attempts integer not null,
    base_attempts integer not null,
    cancelled_by text,
    reopened_by text,
    params text,
    result text,
    exit_code integer,
    exit_signal integer,
    generation integer not null,
    primary key (object, cause),
    check ((state = 'final') = (outcome is not null)),
    check ((state = 'final') = (ended_ms is not null)),
    check (exit_code is null or exit_signal is null)
) strict;
insert into runs_2 select object, cause, uid, parent, origin, asked_by, nominal_ms, due_ms, created_ms, started_ms,
    ended_ms, state, outcome, reason, attempts, base_attempts, cancelled_by, reopened_by, params, result, exit_code,
    exit_signal, generation from runs;
drop table runs;
alter table runs_2 rename to runs;
create index runs_open on runs (object) where state = 'open';
create index runs_steps on runs (object, parent) where parent is not null;
create index runs_newest on runs (created_ms);
create index runs_over on runs (object, created_ms, cause) where parent is null and state = 'final';

create table messages (
    seq integer primary key autoincrement not null,
    object text not null,
    id text not null,
    state text not null check (state in ('scheduled', 'available', 'behind', 'claimed', 'ok', 'dead', 'cancelled')),
    priority integer not null check (priority between 0 and 9),
    grp text,
    dedup text,
    type text not null,
    subject text not null,
    sender text not null,
    source text not null,
    digest text not null,
    bytes integer not null,
    enqueued_ms integer not null,
    due_ms integer not null,
    expires_ms integer,
    tries integer not null,
    base_attempts integer not null,
    fence integer not null,
    claimed_ms integer,
    ended_ms integer,
    outcome text,
    reason text,
    reply text,
    log_tail text,
    params text,
    payload blob not null,
    unique (object, id),
    check ((state in ('ok', 'dead', 'cancelled')) = (ended_ms is not null)),
    check ((outcome is null) = (ended_ms is null)),
    check (state <> 'behind' or grp is not null)
) strict;
create unique index messages_dedup on messages (object, dedup) where dedup is not null and ended_ms is null;
create index messages_ready on messages (object, priority, seq) where state = 'available';
create index messages_scheduled on messages (object, due_ms) where state = 'scheduled';
create index messages_claimed on messages (object, grp) where state = 'claimed';
create index messages_groups on messages (object, grp, seq) where grp is not null and ended_ms is null;
create index messages_enqueued on messages (object, enqueued_ms);
create index messages_over on messages (state, ended_ms) where ended_ms is not null;

create table queues (
    object text primary key not null,
    depth integer not null check (depth >= 0),
    bytes integer not null check (bytes >= 0)
) strict;
",
    "
alter table runs add column catches_up integer not null default 0 check (catches_up in (0, 1));
",
    "
alter table runs add column result_size text;
",
];

/// The newest schema this binary knows.
#[must_use]
pub fn version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// A file beside the database: `-wal` and `-shm` are SQLite's own.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn size(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(meta) => Ok(Some(meta.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at the files without opening one: to close a descriptor of a database would drop all locks this process has on
/// it. False when there is none yet.
///
/// # Errors
/// When what is there cannot be a store.
pub(super) fn look(path: &Path) -> Result<bool, Trouble> {
    let disk = |error: io::Error| Trouble::Disk { path: path.to_path_buf(), why: error.to_string().into() };
    let corrupt = |why: &str| Trouble::Corrupt { path: path.to_path_buf(), why: why.into() };
    let log = size(&beside(path, "-wal")).map_err(disk)?.unwrap_or(0);
    match path.metadata() {
        Ok(meta) if !meta.is_file() => Err(corrupt("it is not a file")),
        Ok(meta) if meta.len() == 0 => Err(corrupt("it is empty, and a store never is")),
        Ok(_) => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(error)),
        Err(_) if log > 0 => Err(corrupt("it is gone, and its log is still there")),
        Err(_) => Ok(false),
    }
}

/// Opens the database to write to it, and brings an older one up to date. Where there is none, it is made.
///
/// # Errors
/// When the disk does not take it, or the file is not a store of this or an earlier version.
pub(super) fn open(path: &Path, is_checked: bool) -> Result<Connection, Trouble> {
    if !look(path)? {
        create(path)?;
    }
    reopen(path, is_checked)
}

/// Opens a database that is there.
///
/// # Errors
/// As [`open`], and when there is none.
pub(super) fn reopen(path: &Path, is_checked: bool) -> Result<Connection, Trouble> {
    if !look(path)? {
        return Err(Trouble::Moved { path: path.to_path_buf(), why: "it is gone".into() });
    }
    let trouble = |error: rusqlite::Error| Trouble::of(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // A copy or a backup may have come with other bits; SQLite gives its own files those of the database.
    let closed = std::fs::set_permissions(path, Permissions::from_mode(MODE));
    closed.map_err(|error| Trouble::Disk { path: path.to_path_buf(), why: error.to_string().into() })?;
    let mut connection = Connection::open_with_flags(path, flags).map_err(trouble)?;
    connection.busy_timeout(BUSY_MAX).map_err(trouble)?;
    recognise(&connection, path)?;
    set_up(&connection).map_err(trouble)?;
    if is_checked {
        check(&connection, path)?;
    }
    migrate(&mut connection).map_err(trouble)?;
    Ok(connection)
}

/// Whose database it is, and of which version.
///
/// # Errors
/// When it is not ours, or too new.
pub(super) fn recognise(connection: &Connection, path: &Path) -> Result<(), Trouble> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let trouble = |error: rusqlite::Error| Trouble::of(path, &error);
    let found = number("pragma user_version").map_err(trouble)?;
    if number("pragma application_id").map_err(trouble)? != APPLICATION_ID || found < 1 {
        return Err(Trouble::Corrupt { path: path.to_path_buf(), why: "it is a database of another program".into() });
    }
    match found > version() {
        true => Err(Trouble::Newer { path: path.to_path_buf(), found, known: version() }),
        false => Ok(()),
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        // No shared memory beside the file: readers and the writer could not work at once.
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!("its file system allows no write-ahead log (journal mode {mode})")),
        ));
    }
    // An answer means that the disk has it: FULL waits for that at every commit.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Whether the first bytes of a file are those of a database of ours.
#[must_use]
pub(super) fn is_ours(header: &[u8; HEADER_BYTES]) -> bool {
    let (magic, id) = (header.first_chunk::<16>(), header.last_chunk::<4>());
    magic == Some(b"SQLite format 3\0") && id.is_some_and(|id| i64::from(u32::from_be_bytes(*id)) == APPLICATION_ID)
}

/// Makes an empty store under another name, and links it into place.
fn create(path: &Path) -> Result<(), Trouble> {
    let draft = beside(path, &format!(".new.{}", std::process::id()));
    let disk = |error: io::Error| Trouble::Disk { path: path.to_path_buf(), why: error.to_string().into() };
    remove(&draft).map_err(disk)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&draft).map(drop).map_err(disk);
    let made = made.and_then(|()| build(&draft).map_err(|error| Trouble::of(path, &error)));
    let made = made.and_then(|()| link(&draft, path).map_err(disk));
    // It has served, or it is of no use; what cannot be removed harms nobody.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        _ = remove(&beside(&draft, suffix));
    }
    made
}

fn build(draft: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Has to stand before the first table, so that what pruning frees can be given back a little at a time.
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    migrate(&mut connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| error)
}

fn link(draft: &Path, path: &Path) -> io::Result<()> {
    File::open(draft)?.sync_all()?;
    match std::fs::hard_link(draft, path) {
        // Another writer was faster, and made the same.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// All steps are one transaction with the last number, so a controller that dies on the way leaves the version that was,
/// not a mixture.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // A table is rebuilt by dropping it, which would take the rows that refer to it along; within a transaction this
    // cannot be said any more.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("pragma user_version", [], |row| row.get(0))?;
    let steps = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    for step in steps {
        transaction.execute_batch(step)?;
    }
    if found < version() {
        transaction.pragma_update(None, "user_version", version())?;
    }
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Reads the whole file and compares its parts, as far as that goes in [`CHECK_MAX`]: about a second for 200 MB that
/// are in memory. A larger one is used although its end was not seen.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Trouble> {
    let (done, over) = channel::<()>();
    let interrupt = connection.get_interrupt_handle();
    let said: rusqlite::Result<String> = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Err(RecvTimeoutError::Timeout) = over.recv_timeout(CHECK_MAX) {
                interrupt.interrupt();
            }
        });
        let said = connection.query_row("pragma quick_check(1)", [], |row| row.get(0));
        drop(done);
        said
    });
    match said {
        Ok(words) if words == "ok" => Ok(()),
        Ok(words) => Err(Trouble::Corrupt { path: path.to_path_buf(), why: words.into() }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(()),
        Err(error) => Err(Trouble::of(path, &error)),
    }
}
