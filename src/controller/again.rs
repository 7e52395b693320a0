//! A store that was taken away, and is back.
//!
//! In: books, and whether their file is in its place. Out: a ledger as the store has it now. Not here: the trouble.
//! The surprise: what is back may be older, so everything that was known is forgotten for it.

use super::books::{Books, Entry, Pending};
use super::remember;
use super::schedules::renew;
use crate::engine::run::{Book, Ledger};
use crate::engine::{Now, ObjectRef};
use crate::store::Write;
use crate::store::reader::Reader;

impl Books {
    /// Forgets what was remembered and reads it again; due times that were worked out stay.
    ///
    /// # Errors
    /// As [`Books::open`].
    pub fn read_anew(&mut self, ledger: &mut Ledger, now: &Now) -> Result<(), String> {
        for book in ledger.books.values_mut() {
            *book = Book { times: book.times.take(), ..Book::default() };
        }
        let read = self.open(ledger);
        if read.is_err() {
            (self.is_stale, self.trouble_at) = (true, Some(now.boot));
        }
        read
    }

    /// Has the writer look whether its file is still there; nothing is written for it.
    pub fn look(&mut self) {
        let is_open = self.writer.as_ref().is_some_and(|writer| writer.is_in_place().is_some());
        let nobody = ObjectRef::new("store", "0");
        if let (Ok(object), true, None) = (nobody, is_open && self.pending.is_empty(), self.trouble_at) {
            self.send(Write::Look, Pending { object, entry: Entry::Look, asker: None });
            // It is nothing that could ever be too old.
            self.sent -= 1;
        }
    }

    /// Whether the file is there no more, by a look of one's own.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.is_in_place() == Some(false))
    }

    /// Reads again what is remembered of objects of which a write failed, once nothing is on its way: an error may come
    /// after the disk has it all, and then the books would say something else than the store.
    pub(super) fn refresh(&mut self, ledger: &mut Ledger) {
        // What is not there reads as empty, and says nothing of what was.
        if self.stale.is_empty() || !self.home.store_db().exists() {
            return;
        }
        let mut read = Ledger::default();
        let known = Reader::open(&self.home.store_db()).and_then(|reader| remember::read(&reader, &mut read));
        if known.is_err() {
            // It is asked again with the next answer: a store in trouble is asked how it is every now and then.
            return;
        }
        for object in std::mem::take(&mut self.stale) {
            let Some(book) = ledger.books.get_mut(&object) else { continue };
            let Book { cursor, runs, last, queue, is_spent, .. } = read.books.remove(&object).unwrap_or_default();
            (book.cursor, book.runs, book.last, book.is_spent) = (cursor, runs, last, is_spent);
            book.queue = queue;
            // Nothing is on its way.
            book.writing.clear();
            renew(book);
        }
    }
}
