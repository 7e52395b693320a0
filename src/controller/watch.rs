//! One epoll set for everything that reports by becoming readable: pidfds of shims and answers of starts.
//!
//! In: descriptors with what they mean. Out: what has happened. Not here: what to do about it.
//! The surprise: one set behind one registration in the runtime, since a thousand registrations would cost a
//! thousand allocations and nothing is gained.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::engine::{InstanceId, ProcId};

/// The most events taken at once; the rest come with the next call.
const EVENTS_MAX: usize = 256;

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A process of this instance has ended.
    Ended(InstanceId, ProcId),
    /// The start of this instance has been answered.
    Answered(InstanceId),
    /// What this start needs has been gathered; starts are numbered.
    Gathered(InstanceId, u64),
}

/// The set.
#[derive(Debug)]
pub struct Watch {
    set: OwnedFd,
    entries: BTreeMap<u64, (Sign, OwnedFd)>,
    tokens: BTreeMap<(InstanceId, ProcId), u64>,
    next: u64,
}

impl Watch {
    /// An empty set.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Watch> {
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Watch { set, entries: BTreeMap::new(), tokens: BTreeMap::new(), next: 1 })
    }

    /// True when the end of this process will be noticed.
    #[must_use]
    pub fn has(&self, id: &InstanceId, proc: &ProcId) -> bool {
        self.tokens.contains_key(&(id.clone(), proc.clone()))
    }

    /// The pinned descriptor of a process.
    #[must_use]
    pub fn pidfd(&self, id: &InstanceId, proc: &ProcId) -> Option<BorrowedFd<'_>> {
        let token = self.tokens.get(&(id.clone(), proc.clone()))?;
        self.entries.get(token).map(|(_, fd)| fd.as_fd())
    }

    /// Notices the end of a process by its pidfd.
    ///
    /// # Errors
    /// When the set is full.
    pub fn add_process(&mut self, id: &InstanceId, proc: &ProcId, pidfd: OwnedFd) -> io::Result<()> {
        let token = self.add(Sign::Ended(id.clone(), proc.clone()), pidfd)?;
        self.tokens.insert((id.clone(), proc.clone()), token);
        Ok(())
    }

    /// Notices the answer of a start.
    ///
    /// # Errors
    /// When the set is full.
    pub fn add_answer(&mut self, id: &InstanceId, pipe: OwnedFd) -> io::Result<()> {
        self.add(Sign::Answered(id.clone()), pipe).map(|_| ())
    }

    /// Lets go of the answer of a start, which takes it back.
    pub fn forget_answer(&mut self, id: &InstanceId) {
        let of_it = |(sign, _): &(Sign, OwnedFd)| *sign == Sign::Answered(id.clone());
        let tokens: Vec<u64> = self.entries.iter().filter(|(_, entry)| of_it(entry)).map(|(token, _)| *token).collect();
        for (_, fd) in tokens.iter().filter_map(|token| self.entries.remove(token)) {
            // A failure means that it is no longer in the set, which is what is wanted.
            _ = epoll::delete(&self.set, &fd);
        }
    }

    /// Notices that what a start needs is there.
    ///
    /// # Errors
    /// When the set is full.
    pub fn add_gathered(&mut self, id: &InstanceId, number: u64, pipe: OwnedFd) -> io::Result<()> {
        self.add(Sign::Gathered(id.clone(), number), pipe).map(|_| ())
    }

    fn add(&mut self, sign: Sign, fd: OwnedFd) -> io::Result<u64> {
        let token = self.next;
        self.next += 1;
        epoll::add(&self.set, &fd, EventData::new_u64(token), EventFlags::IN)?;
        self.entries.insert(token, (sign, fd));
        Ok(token)
    }

    /// What has happened since; each sign is given once, with its descriptor.
    pub fn take(&mut self) -> Vec<(Sign, OwnedFd)> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let no_wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.set, spare_capacity(&mut events), Some(&no_wait)).is_err() {
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(events.len());
        for event in events {
            let Some((sign, fd)) = self.entries.remove(&event.data.u64()) else { continue };
            // A failure means that it is no longer in the set, which is what is wanted.
            _ = epoll::delete(&self.set, &fd);
            if let Sign::Ended(id, proc) = &sign {
                self.tokens.remove(&(id.clone(), proc.clone()));
            }
            taken.push((sign, fd));
        }
        taken
    }

    /// A second descriptor of it, for the runtime to wait on.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn fd(&self) -> io::Result<OwnedFd> {
        self.set.try_clone()
    }
}
