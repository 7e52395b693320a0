//! The one thread that writes.
//!
//! In: requests, from any thread. Out: one transaction for all that wait, then an answer for each. Not here: SQL.
//!
//! The surprise: it never gives up. A disk that is full or a file that is damaged is an answer, and the next request
//! opens the store anew; and whoever asks never waits, because one request too many is refused at once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{Builder, JoinHandle};

use super::rows::Given;
use super::sqlite::{Sqlite, identity};
use super::write::{Answer, Reply, ResultSource, Write};
use super::{BATCH_MAX, Durable, PARAMS_MAX, QUEUE_MAX, TAIL_MAX, Trouble, columns, enqueue};

/// Requests to the store, in the order in which they were sent.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<Request>,
    counters: Arc<Counters>,
    in_use: Arc<OnceLock<InUse>>,
    thread: JoinHandle<()>,
}

/// The file that a writer has opened: where, and the device and inode it last had.
#[derive(Debug)]
struct InUse {
    path: PathBuf,
    file: Mutex<Option<(u64, u64)>>,
}

/// What a writer has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions that are on the disk.
    pub commits: u64,
    /// Requests in them.
    pub requests: u64,
    /// Transactions that came to nothing.
    pub troubles: u64,
    /// Events that were dropped, in trouble or because too much waited.
    pub events_dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    requests: AtomicU64,
    troubles: AtomicU64,
    events_dropped: AtomicU64,
}

impl Counters {
    fn drop_events(&self, events: u64) {
        self.events_dropped.fetch_add(events, Ordering::Relaxed);
    }
}

/// A request and whoever waits for it. Dropped unanswered, it says that the store is closed: nobody waits for ever.
struct Request {
    write: Option<Write>,
    answer: Option<Answer>,
}

impl Request {
    fn answer(mut self, answer: Result<Reply, Trouble>) {
        if let Some(hear) = self.answer.take() {
            hear(answer);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(hear) = self.answer.take() {
            hear(Err(Trouble::Closed));
        }
    }
}

impl Writer {
    /// Starts the writer of the database at this path. It is opened, checked and made with the first request.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(path: &Path) -> io::Result<Writer> {
        let path = path.to_path_buf();
        let in_use = Arc::new(OnceLock::new());
        let known = Arc::clone(&in_use);
        let writer = Writer::over(move || {
            let opened = match known.get() {
                None => Sqlite::open(&path, true)?,
                // Another one made in its place would say that nothing has been done yet.
                Some(_) => Sqlite::again(&path)?,
            };
            let in_use = known.get_or_init(|| InUse { path: path.clone(), file: Mutex::new(None) });
            // Only a thread that panicked while it held this could poison it, and none does.
            if let Ok(mut file) = in_use.file.lock() {
                *file = opened.file();
            }
            Ok(opened)
        })?;
        Ok(Writer { in_use, ..writer })
    }

    /// Starts a writer over any engine; `open` is asked again after trouble.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn over<D: Durable>(open: impl FnMut() -> Result<D, Trouble> + Send + 'static) -> io::Result<Writer> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let thread = Builder::new().name("store".into()).spawn(move || write(&requests, open, &counted))?;
        Ok(Writer { queue, counters, in_use: Arc::default(), thread })
    }

    /// Sends a request. It never waits: the answer comes on the writer's thread once the disk has it, or at once, here,
    /// when it cannot be queued.
    pub fn send(&self, write: Write, answer: Answer) {
        if let Err(trouble) = fit(&write) {
            return answer(Err(trouble));
        }
        let events = events_of(&write);
        let request = Request { write: Some(write), answer: Some(answer) };
        match self.queue.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => {
                self.counters.drop_events(events);
                request.answer(Err(Trouble::Flooded { max: QUEUE_MAX }));
            }
            Err(TrySendError::Disconnected(request)) => {
                self.counters.drop_events(events);
                request.answer(Err(Trouble::Closed));
            }
        }
    }

    /// Sends a request and waits for the answer: for a verb, never for the loop.
    ///
    /// # Errors
    /// When it is not known to be written.
    pub fn ask(&self, write: Write) -> Result<Reply, Trouble> {
        let (tell, hear) = channel();
        // Whoever asks is still there to hear it.
        self.send(write, Box::new(move |answer| _ = tell.send(answer)));
        hear.recv().unwrap_or(Err(Trouble::Closed))
    }

    /// Whether the file it has opened is still in its place; none when it has opened none yet.
    #[must_use]
    pub fn is_in_place(&self) -> Option<bool> {
        let InUse { path, file } = self.in_use.get()?;
        let file = (*file.lock().ok()?)?;
        Some(identity(path) == Some(file))
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            commits: read(&self.counters.commits),
            requests: read(&self.counters.requests),
            troubles: read(&self.counters.troubles),
            events_dropped: read(&self.counters.events_dropped),
        }
    }

    /// Ends the writer after all that was sent has been answered, and waits for that. One that is only dropped does the
    /// same with nobody waiting.
    pub fn close(self) {
        drop(self.queue);
        // Had it panicked, every request would have been answered all the same.
        _ = self.thread.join();
    }
}

/// Whether a request may be queued at all.
fn fit(write: &Write) -> Result<(), Trouble> {
    let params = match write {
        Write::Fire { run, .. } => run.params.as_ref(),
        Write::Enqueue(enqueue) => {
            enqueue::fit(&enqueue.message)?;
            enqueue.message.params.as_ref()
        }
        Write::Finish(finish) => finish.otherwise.as_ref().and_then(|run| run.params.as_ref()),
        Write::Open
        | Write::Look
        | Write::Register(_)
        | Write::Note { .. }
        | Write::Attempt(_)
        | Write::Cancel { .. }
        | Write::Reopen { .. }
        | Write::Events { .. }
        | Write::Claim(_)
        | Write::Return(_)
        | Write::Withdraw { .. }
        | Write::Dead(_)
        | Write::Prune(_) => None,
    };
    match params.map_or(0, |text| text.len()) {
        found if found > PARAMS_MAX => {
            Err(Trouble::TooLarge { what: "the parameters of a run", found, max: PARAMS_MAX })
        }
        _ => Ok(()),
    }
}

fn events_of(write: &Write) -> u64 {
    match write {
        Write::Events { events, .. } => events.len() as u64,
        Write::Open
        | Write::Look
        | Write::Register(_)
        | Write::Note { .. }
        | Write::Fire { .. }
        | Write::Attempt(_)
        | Write::Finish(_)
        | Write::Cancel { .. }
        | Write::Reopen { .. }
        | Write::Enqueue(_)
        | Write::Claim(_)
        | Write::Return(_)
        | Write::Withdraw { .. }
        | Write::Dead(_)
        | Write::Prune(_) => 0,
    }
}

fn write<D: Durable>(requests: &Receiver<Request>, mut open: impl FnMut() -> Result<D, Trouble>, counters: &Counters) {
    let mut store: Option<D> = None;
    while let Ok(first) = requests.recv() {
        // While this batch is on its way to the disk the next one gathers: the slower the disk, the larger it is.
        let mut batch: Vec<Request> = std::iter::once(first).chain(requests.try_iter().take(BATCH_MAX - 1)).collect();
        let writes: Vec<Write> = batch.iter_mut().filter_map(|request| request.write.take()).map(captured).collect();
        let events: u64 = writes.iter().map(events_of).sum();
        let answers = match store.take().map_or_else(&mut open, Ok) {
            Ok(mut opened) => {
                let answers = opened.commit(writes);
                match &answers {
                    // The connection is sound.
                    Ok(_) | Err(Trouble::Busy { .. }) => store = Some(opened),
                    Err(_) => {}
                }
                answers
            }
            Err(trouble) => Err(trouble),
        };
        match answers {
            Ok(answers) => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.requests.fetch_add(batch.len() as u64, Ordering::Relaxed);
                batch.into_iter().zip(answers).for_each(|(request, answer)| request.answer(answer));
            }
            Err(trouble) => {
                counters.troubles.fetch_add(1, Ordering::Relaxed);
                counters.drop_events(events);
                batch.into_iter().for_each(|request| request.answer(Err(trouble.clone())));
            }
        }
    }
}

/// The request with its result read, before anything is locked.
fn captured(mut write: Write) -> Write {
    if let Write::Finish(finish) = &mut write {
        read(&mut finish.result, columns::kept_result);
        if let Some(message) = &mut finish.message {
            read(&mut message.log_tail, |tail| Given::whole(&columns::cut_head(&tail.text, TAIL_MAX)));
        }
    }
    write
}

/// Puts what a capture gives in its place. One that panics gives nothing: the end of the run counts for more than its
/// words.
fn read(source: &mut ResultSource, cut: impl Fn(Given) -> Given) {
    *source = match std::mem::replace(source, ResultSource::None) {
        ResultSource::Capture(capture) => {
            let text = std::panic::catch_unwind(std::panic::AssertUnwindSafe(capture)).ok().flatten();
            text.map_or(ResultSource::None, |text| ResultSource::Text(cut(text)))
        }
        given @ (ResultSource::None | ResultSource::Text(_)) => given,
    };
}
