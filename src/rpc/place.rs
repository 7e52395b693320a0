//! Places for clients: how many there are, and who goes when all are taken.
//!
//! In: clients that come, work and go. Out: a place, maybe somebody else's. Not here: sockets.
//! The surprise: nobody is asked to leave for being silent while there is room; when there is none, the client that has
//! done nothing for the longest time makes room, so that a crowd of forgotten ones never locks a person out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How many clients are served at once.
pub const PLACES_MAX: usize = 256;
/// How many of them may have subscribed: a crowd that listens leaves room for those that ask.
pub const SUBSCRIBED_MAX: usize = 128;

/// What a client is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posture {
    /// It says nothing, has not said all of it, or does not read its answer.
    Idle,
    /// It waits for an answer that is being made.
    Served,
    /// It has subscribed.
    Subscribed,
}

#[derive(Debug)]
struct Seat {
    posture: Posture,
    since: Instant,
    leave: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    seats: BTreeMap<u64, Seat>,
}

/// All places of a server.
#[derive(Debug, Default)]
pub struct Places {
    table: Mutex<Table>,
}

/// The place of one client, which is free again when this goes.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    number: u64,
    /// Told when somebody else needs the place.
    pub leave: Arc<Notify>,
}

impl Places {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more client; none when all are being served right now.
    #[must_use]
    pub fn take(self: &Arc<Places>) -> Option<Place> {
        let mut table = self.table();
        if table.seats.len() >= PLACES_MAX {
            let idle = table.seats.iter().filter(|(_, seat)| seat.posture == Posture::Idle);
            let longest = idle.min_by_key(|(_, seat)| seat.since).map(|(number, _)| *number)?;
            // Gone from the table at once; its task follows.
            table.seats.remove(&longest)?.leave.notify_one();
        }
        let number = table.next;
        table.next += 1;
        let leave = Arc::new(Notify::new());
        table.seats.insert(number, Seat { posture: Posture::Idle, since: Instant::now(), leave: leave.clone() });
        Some(Place { places: self.clone(), number, leave })
    }

    /// Waits until nobody waits for an answer any more, and those that had one have gone: for `patience` at most.
    pub async fn quiet(&self, patience: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < patience && self.is_serving() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_serving(&self) -> bool {
        self.table().seats.values().any(|seat| seat.posture == Posture::Served)
    }
}

impl Place {
    /// Says what its client is about now. False when that may not be: too many have subscribed.
    #[must_use]
    pub fn is(&self, posture: Posture) -> bool {
        let mut table = self.places.table();
        let subscribed = table.seats.values().filter(|seat| seat.posture == Posture::Subscribed).count();
        let Some(seat) = table.seats.get_mut(&self.number) else { return true };
        if posture == Posture::Subscribed && seat.posture != posture && subscribed >= SUBSCRIBED_MAX {
            return false;
        }
        (seat.posture, seat.since) = (posture, Instant::now());
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_makes_room_and_who_is_served_stays() {
        let places = Arc::new(Places::default());
        let mut taken: Vec<Place> = (0..PLACES_MAX).map(|_| places.take().expect("room")).collect();
        assert!(taken[0].is(Posture::Served));
        let more = places.take().expect("the second makes room");
        assert_eq!((more.number, places.table().seats.len()), (PLACES_MAX as u64, PLACES_MAX));
        assert!(places.table().seats.contains_key(&0) && !places.table().seats.contains_key(&1));
        // One that was made to leave changes nothing when it goes.
        drop(taken.remove(1));
        assert_eq!(places.table().seats.len(), PLACES_MAX);
        taken.push(more);
        assert!(taken.iter().all(|place| place.is(Posture::Served)));
        assert!(places.take().is_none());
        drop(taken);
        let listening: Vec<Place> = (0..=SUBSCRIBED_MAX).map(|_| places.take().expect("room")).collect();
        let answers: Vec<bool> = listening.iter().map(|place| place.is(Posture::Subscribed)).collect();
        assert_eq!(answers.iter().filter(|is| **is).count(), SUBSCRIBED_MAX);
    }
}
