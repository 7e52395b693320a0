//! A queue with the meaning of the real one: each write whole or not at all, in order, answered late, wrongly or never.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value as Json, json};
use setpoint::engine::plan::{Finish, MessageFate, Return};
use setpoint::engine::queue::{Message, Queue};
use setpoint::engine::run::{Origin, Outcome, Output, Run, Step};
use setpoint::engine::{Cause, InstanceId, ObjectRef, Timestamp};

use super::kind::Nature;

/// Rows keep whole milliseconds.
pub fn cut(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos() / 1_000_000 * 1_000_000)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Scheduled,
    Available,
    Behind,
    Claimed,
    Ok,
    Dead,
    Cancelled,
}

impl State {
    pub fn is_over(self) -> bool {
        matches!(self, State::Ok | State::Dead | State::Cancelled)
    }
}

/// One message, and the row of its run.
#[derive(Clone, Debug)]
pub struct Row {
    pub object: ObjectRef,
    pub message: Message,
    pub dedup: Option<u64>,
    pub nature: Nature,
    pub state: State,
    pub due: Timestamp,
    pub base: u32,
    pub reason: Arc<str>,
    /// The uid of its object when it was claimed.
    pub uid: Arc<str>,
    pub claimed: Timestamp,
    pub cancel: Option<Arc<str>>,
    /// Steps that are over, with their last attempts.
    pub steps: BTreeMap<Arc<str>, (Step, u32)>,
    pub reopened: BTreeMap<Arc<str>, u32>,
    /// How often it ended; a dead letter that a person retries begins anew.
    pub ends: u32,
    /// It came back after others of its group had gone by.
    pub is_revived: bool,
}

impl Row {
    pub fn cause(&self) -> Cause {
        self.message.id.parse().expect("a plain id")
    }

    /// The run as a controller has it that has just claimed the message, or has just come up.
    pub fn run(&self) -> Run {
        Run {
            uid: self.uid.clone(),
            origin: Origin::Message(Arc::new(self.message.clone())),
            due: self.claimed,
            created: self.message.enqueued,
            forgiven: self.base,
            cancel: None,
            params: Arc::new(json!({})),
            steps: self.steps.iter().map(|(id, (step, _))| (id.clone(), step.clone())).collect(),
            reopened: self.reopened.clone(),
            catches_up: false,
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub enum Write {
    Enqueue(Box<Row>),
    Claim { object: ObjectRef, uid: Arc<str>, count: u32, now: Timestamp },
    Return(InstanceId, Box<Return>),
    Finish(InstanceId, Box<Finish>, Timestamp),
    Cancel(InstanceId),
    Withdraw(InstanceId),
    Revive(InstanceId, Timestamp),
}

/// What became of one.
#[derive(Clone, Debug)]
pub enum Reply {
    Done,
    /// Nothing was changed.
    Already,
    Enqueued(State, Timestamp, bool),
    Claimed(Vec<Row>, Queue),
}

/// What is on the disk.
#[derive(Debug, Default)]
pub struct Store {
    pub rows: Vec<Row>,
    /// Requests on their way, in order, each with the moment at which it is done.
    pub queue: VecDeque<(u64, Write)>,
    /// Groups are not kept: whatever claims has to.
    pub is_lax: bool,
}

impl Store {
    pub fn find(&self, id: &InstanceId) -> Option<&Row> {
        let cause = id.cause.parent().unwrap_or_else(|| id.cause.clone());
        self.rows.iter().find(|row| row.object == id.object && *row.message.id == *cause.to_string())
    }

    fn find_mut(&mut self, id: &InstanceId) -> Option<&mut Row> {
        let cause = id.cause.parent().unwrap_or_else(|| id.cause.clone()).to_string();
        self.rows.iter_mut().find(|row| row.object == id.object && *row.message.id == *cause)
    }

    /// Writes one request.
    pub fn apply(&mut self, write: &Write, output: &dyn Fn(&Row) -> Json) -> Reply {
        match write {
            Write::Enqueue(row) => self.enqueue(row),
            Write::Claim { object, uid, count, now } => self.claim(object, uid, *count, *now),
            Write::Return(id, back) => self.give_back(id, back),
            Write::Finish(id, finish, at) => self.finish(id, finish, *at, output),
            Write::Cancel(id) => match self.find_mut(id) {
                Some(row) if row.state == State::Claimed => {
                    row.cancel.get_or_insert("ann".into());
                    Reply::Done
                }
                Some(_) | None => Reply::Already,
            },
            Write::Withdraw(id) => self.withdraw(id),
            Write::Revive(id, at) => self.revive(id, *at),
        }
    }

    fn enqueue(&mut self, row: &Row) -> Reply {
        let same = |known: &&Row| {
            known.object == row.object
                && (known.message.id == row.message.id
                    || (row.dedup.is_some() && known.dedup == row.dedup && !known.state.is_over()))
        };
        if let Some(known) = self.rows.iter().find(same) {
            return Reply::Enqueued(known.state, known.due, false);
        }
        let mut row = row.clone();
        row.state = match self.head(&row.object, row.message.group.as_ref()) {
            Some(_) => State::Behind,
            None if row.due > row.message.enqueued => State::Scheduled,
            None => State::Available,
        };
        let reply = Reply::Enqueued(row.state, row.due, true);
        self.rows.push(row);
        reply
    }

    /// The place of the first message of a group that is not over.
    fn head(&self, object: &ObjectRef, group: Option<&Arc<str>>) -> Option<usize> {
        let group = group.filter(|_| !self.is_lax)?;
        let is_of = |row: &Row| row.object == *object && row.message.group.as_ref() == Some(group);
        self.rows.iter().position(|row| is_of(row) && !row.state.is_over())
    }

    fn is_claimed(&self, object: &ObjectRef, group: Option<&Arc<str>>) -> bool {
        let is_of = |row: &Row| row.object == *object && row.message.group.as_ref() == group;
        self.rows.iter().any(|row| is_of(row) && row.state == State::Claimed)
    }

    fn advance(&mut self, object: &ObjectRef, group: Option<&Arc<str>>, now: Timestamp) {
        if let Some(head) = self.head(object, group)
            && self.rows[head].state == State::Behind
            && !self.is_claimed(object, group)
        {
            let is_due = self.rows[head].due <= cut(now);
            self.rows[head].state = if is_due { State::Available } else { State::Scheduled };
        }
    }

    fn claim(&mut self, object: &ObjectRef, uid: &Arc<str>, count: u32, now: Timestamp) -> Reply {
        let count = count as usize;
        let of_it = |row: &Row| row.object == *object;
        for row in self.rows.iter_mut().filter(|row| of_it(row)) {
            if row.state == State::Scheduled && row.due <= cut(now) {
                row.state = State::Available;
            }
        }
        let rows = || self.rows.iter().enumerate();
        let effective = |row: &Row| {
            let steps = row.message.enqueued.until(cut(now)).as_secs() / 300;
            u64::from(row.message.priority).saturating_sub(steps)
        };
        let ready = rows().filter(|(_, row)| of_it(row) && row.state == State::Available);
        let mut ready: Vec<_> = ready.map(|(i, row)| (effective(row), i)).collect();
        ready.sort_unstable();
        let taken: Vec<usize> = ready.into_iter().map(|(_, i)| i).take(count).collect();
        let mut claimed = Vec::new();
        for i in taken {
            let row = &mut self.rows[i];
            row.state = State::Claimed;
            row.message.fence += 1;
            (row.uid, row.claimed) = (uid.clone(), cut(now));
            claimed.push(row.clone());
        }
        Reply::Claimed(claimed, self.queue_of(object))
    }

    pub fn queue_of(&self, object: &ObjectRef) -> Queue {
        let open = || self.rows.iter().filter(|row| row.object == *object && !row.state.is_over());
        Queue {
            has_available: open().any(|row| row.state == State::Available),
            next_due: open().filter(|row| row.state == State::Scheduled).map(|row| row.due).min(),
            depth: open().count() as u64,
        }
    }

    fn give_back(&mut self, id: &InstanceId, back: &Return) -> Reply {
        let Some(row) = self.find_mut(id) else { return Reply::Already };
        if row.state != State::Claimed || row.message.fence != back.message.fence {
            return Reply::Already;
        }
        row.state = State::Scheduled;
        (row.due, row.message.tries, row.base) = (cut(back.due), back.tries, back.attempts);
        row.reason = back.why.clone();
        let steps = std::mem::take(&mut row.steps);
        for (step, (end, attempts)) in steps {
            if end.outcome == Outcome::Ok {
                row.steps.insert(step, (end, attempts));
            } else {
                row.reopened.insert(step, attempts);
            }
        }
        let (object, group) = (row.object.clone(), row.message.group.clone());
        let seq = self.rows.iter().position(|row| row.object == id.object && *row.message.id == *back.message.id);
        if let (Some(head), Some(seq)) = (self.head(&object, group.as_ref()), seq)
            && head != seq
        {
            self.rows[seq].state = State::Behind;
            self.advance(&object, group.as_ref(), back.due);
        }
        Reply::Done
    }

    fn finish(&mut self, id: &InstanceId, finish: &Finish, at: Timestamp, output: &dyn Fn(&Row) -> Json) -> Reply {
        let Some(row) = self.find_mut(id) else { return Reply::Already };
        if finish.step_of.is_some() {
            let step: Arc<str> = id.cause.to_string().split('.').nth(1).expect("a step").into();
            let over = Step { outcome: finish.outcome, output: Output::Whole(Arc::new(output(row))) };
            row.steps.insert(step, (over, finish.attempts));
            return Reply::Done;
        }
        let Some(end) = &finish.message else { return Reply::Already };
        if row.state != State::Claimed || row.message.fence != end.message.fence {
            return Reply::Already;
        }
        row.state = match end.fate {
            MessageFate::Ok => State::Ok,
            MessageFate::Dead => State::Dead,
            MessageFate::Cancelled => State::Cancelled,
        };
        row.ends += 1;
        (row.message.tries, row.base, row.reason) = (end.tries, finish.attempts, finish.why.clone());
        let (object, group) = (row.object.clone(), row.message.group.clone());
        self.advance(&object, group.as_ref(), at);
        Reply::Done
    }

    fn withdraw(&mut self, id: &InstanceId) -> Reply {
        let Some(row) = self.find_mut(id) else { return Reply::Already };
        if row.state.is_over() || row.state == State::Claimed {
            return Reply::Already;
        }
        row.state = State::Cancelled;
        row.ends += 1;
        let (object, group, at) = (row.object.clone(), row.message.group.clone(), row.message.enqueued);
        self.advance(&object, group.as_ref(), at);
        Reply::Done
    }

    /// A person wants a dead letter to be tried again.
    fn revive(&mut self, id: &InstanceId, at: Timestamp) -> Reply {
        let Some(row) = self.find(id) else { return Reply::Already };
        if row.state != State::Dead {
            return Reply::Already;
        }
        let (object, group) = (row.object.clone(), row.message.group.clone());
        let taken = |other: &&Row| other.dedup.is_some() && other.dedup == row.dedup && !other.state.is_over();
        if self.rows.iter().any(|other| other.object == object && taken(&other)) {
            return Reply::Already;
        }
        let seq = self.rows.iter().position(|other| other.object == object && other.message.id == row.message.id);
        let seq = seq.expect("it was found");
        let state = match self.head(&object, group.as_ref()) {
            Some(head) if head < seq || self.is_claimed(&object, group.as_ref()) => State::Behind,
            Some(head) => {
                self.rows[head].state = State::Behind;
                State::Available
            }
            None => State::Available,
        };
        let row = &mut self.rows[seq];
        let age = row.message.expires.map(|expires| row.message.enqueued.until(expires));
        (row.state, row.message.tries, row.due, row.ends) = (state, 0, cut(at), 0);
        row.message.expires = age.map(|age| cut(at).after(age));
        row.is_revived = true;
        row.cancel = None;
        let steps = std::mem::take(&mut row.steps);
        row.reopened.extend(
            steps.iter().filter(|(_, (end, _))| end.outcome != Outcome::Ok).map(|(id, (_, n))| (id.clone(), *n)),
        );
        row.steps = steps.into_iter().filter(|(_, (end, _))| end.outcome == Outcome::Ok).collect();
        Reply::Done
    }

    pub fn next_moment(&self) -> Option<u64> {
        self.queue.front().map(|(at, _)| *at)
    }
}
