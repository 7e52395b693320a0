//! Events for one subscriber.
//!
//! In: what it asked for, and word that there is news. Out: notifications, as fast as it reads them. Not here: the
//! method (`events`).
//! The surprise: it keeps no queue. What the client has not taken stands in the store, and a client that leaves its
//! socket full is told so and sent away with the number to go on from.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::error::Error;
use super::message;
use super::wire::Wire;
use crate::cli::events::cloudevent;
use crate::home::Home;
use crate::store::{Books as _, EventFilter, EventRow, Reader};

/// How long a subscriber may leave its socket full.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many events are read at a time.
const SLICE: usize = 100;

/// A subscription.
#[derive(Debug)]
pub struct Feed {
    home: Home,
    filter: EventFilter,
    news: watch::Receiver<u64>,
    /// There may be more to read.
    is_behind: bool,
}

impl Feed {
    /// Begins after the number that was given, or with what happens from now on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn begin(home: Home, mut filter: EventFilter, news: watch::Receiver<u64>) -> Result<Feed, Error> {
        let is_behind = filter.since.is_some();
        if filter.since.is_none() {
            let last = EventFilter { limit: Some(1), ..EventFilter::default() };
            let newest = read(&home, last).await?.last().map_or(0, |(number, _)| *number);
            filter.since = Some(newest);
        }
        filter.limit = Some(SLICE);
        Ok(Feed { home, filter, news, is_behind })
    }

    /// The number of the last event that was sent, or that it began after.
    #[must_use]
    pub fn after(&self) -> i64 {
        self.filter.since.unwrap_or(0)
    }

    /// Waits until there may be something to send. May be given up at any time.
    pub async fn wait(&mut self) {
        if !self.is_behind && self.news.changed().await.is_err() {
            // The controller is ending; so will this.
            std::future::pending::<()>().await;
        }
        self.is_behind = true;
    }

    /// Sends what there is, a slice of it. False when the client does not read.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, wire: &mut Wire) -> io::Result<bool> {
        self.news.mark_unchanged();
        let events = match read(&self.home, self.filter.clone()).await {
            Ok(events) => events,
            Err(error) => {
                // It stays subscribed, and hears of what comes once the store is well.
                self.is_behind = false;
                let said = message::notification("trouble", &error.to_json());
                return wire.say(&message::line(&said)).await;
            }
        };
        self.is_behind = events.len() >= SLICE;
        for (number, event) in events {
            if !wire.room(PATIENCE).await? {
                let why = json!({ "why": "it reads too slowly", "after": self.after() });
                wire.last_word(&message::line(&message::notification("closed", &why)));
                return Ok(false);
            }
            let said = message::notification("event", &cloudevent(&self.home, number, &event));
            if !wire.say(&message::line(&said)).await? {
                return Ok(false);
            }
            self.filter.since = Some(number);
        }
        Ok(true)
    }

    /// What the method answers.
    #[must_use]
    pub fn answer(&self) -> Value {
        json!({ "subscribed": true, "after": self.after() })
    }
}

async fn read(home: &Home, filter: EventFilter) -> Result<Vec<(i64, EventRow)>, Error> {
    let path = home.store_db();
    let work = move || Reader::open(&path).and_then(|reader| reader.events(&filter)).map_err(super::runs::trouble);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::new(super::code::INTERNAL, "reading events broke; please report this")))
}
