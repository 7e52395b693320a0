//! The folder of each instance: records, policy file, and a lock that may be held by somebody nobody sees.

use setpoint::engine::backoff::{Attempt, End, Streak};
use setpoint::engine::plan::Policy;
use setpoint::engine::{BootId, BootTime, ProcId, Revision, Timestamp};

/// The most records kept of an instance.
const KEPT: usize = 3;

/// What can be written at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Fine,
    /// No new file; what has room already can be filled in.
    Full,
    /// Nothing at all.
    ReadOnly,
}

/// How much of the birth half of a record is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// The file was created, and its writer died at once.
    Claimed,
    Written,
    /// Torn by a power cut or a bad sector.
    Damaged,
}

/// One attempt record.
#[derive(Clone, Debug)]
pub struct Record {
    pub birth: Birth,
    pub attempt: Attempt,
}

impl Record {
    /// A file that exists and says nothing yet.
    pub fn claimed(number: u32) -> Record {
        Record { birth: Birth::Claimed, attempt: damaged(number, End::Open) }
    }

    /// What a reader makes of it; `None` for a claim, which was never executed.
    pub fn read(&self) -> Option<Attempt> {
        match self.birth {
            Birth::Claimed => None,
            Birth::Written => Some(self.attempt.clone()),
            Birth::Damaged => Some(damaged(self.attempt.number, self.attempt.end.clone())),
        }
    }
}

/// An attempt of which only the file name and perhaps the end can be read.
fn damaged(number: u32, end: End) -> Attempt {
    Attempt {
        number,
        uid: "".into(),
        revision: Revision::unknown(),
        shim: ProcId { boot: BootId::default(), pid: 0, started: 0 },
        payload: 0,
        boot_id: BootId::default(),
        started: BootTime::default(),
        started_wall: Timestamp::default(),
        streak: Streak::default(),
        end,
    }
}

/// The folder of one instance.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Ascending by number.
    pub records: Vec<Record>,
    pub policy: Option<Policy>,
    /// Somebody out of sight holds the lock.
    pub ghost: bool,
}

impl Folder {
    /// The newest record that says anything.
    pub fn newest(&self) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.birth != Birth::Claimed)
    }

    /// The highest number in any file name.
    pub fn highest(&self) -> u32 {
        self.records.last().map_or(0, |record| record.attempt.number)
    }

    pub fn record(&mut self, number: u32) -> Option<&mut Record> {
        self.records.iter_mut().rev().find(|record| record.attempt.number == number)
    }

    /// Creates the file of an attempt, or takes over an empty claim of the same number.
    pub fn claim(&mut self, number: u32) {
        self.records.retain(|record| record.attempt.number != number);
        self.records.push(Record::claimed(number));
        self.records.sort_by_key(|record| record.attempt.number);
        if self.records.len() > KEPT {
            self.records.remove(0);
        }
    }
}
