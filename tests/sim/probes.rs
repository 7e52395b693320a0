//! The prober of the fake machine: asks what runs whether it can be used and whether it still works.
//!
//! Its answers come late, get lost, lie, and speak of processes that are gone; it dies with the controller.

use setpoint::engine::observed::Phase;
use setpoint::engine::probe::Evidence;
use setpoint::engine::{BootTime, Observed, Sight};

use super::names::{self, INSTANCES, SLOTS};
use super::world::{MILLI, Role, SECOND, World};

/// The longest time until a process that can become ready is.
pub const READY_MAX: u64 = 3 * SECOND;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ready,
    Live,
}

/// A question that is asked again and again.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    attempt: u32,
    next: Option<u64>,
    last: Option<bool>,
}

/// An answer on its way to the controller.
#[derive(Clone, Debug)]
pub struct Reply {
    pub at: u64,
    pub instance: usize,
    pub side: Side,
    pub evidence: Evidence,
}

/// Who is asked what, and what has not arrived yet.
#[derive(Debug, Default)]
pub struct Prober {
    asks: [[Option<Ask>; 2]; INSTANCES],
    replies: Vec<Reply>,
    /// Answers that have arrived, for the controller to fetch.
    pub arrived: Vec<Reply>,
    /// The first moment at which there is anything to do.
    first: Option<u64>,
}

impl Prober {
    /// Answers that are due arrive.
    fn arrive(&mut self, until: u64) -> bool {
        let before = self.arrived.len();
        let is_due = |reply: &Reply| reply.at <= until;
        self.arrived.extend(self.replies.iter().filter(|reply| is_due(reply)).cloned());
        self.replies.retain(|reply| !is_due(reply));
        self.arrived.len() > before
    }

    /// When it next asks, or an answer arrives.
    pub fn next_moment(&self) -> Option<u64> {
        self.first
    }

    fn find_first(&mut self) {
        let asks = self.asks.iter().flatten().filter_map(|ask| ask.as_ref()?.next);
        self.first = asks.chain(self.replies.iter().map(|reply| reply.at)).min();
    }
}

impl World {
    /// Asks what was seen running, and nobody else.
    pub fn probe_what_runs(&mut self, observed: &Observed) {
        let mut is_news = false;
        for instance in 0..INSTANCES {
            let sighting = observed.sightings.get(names::id(instance));
            let attempt = sighting.and_then(|sighting| match &sighting.sight {
                Sight::Seen(alive) if matches!(alive.phase, Phase::Running | Phase::Frozen) => Some(alive.attempt),
                Sight::Seen(_) | Sight::Absent | Sight::Unreadable { .. } => None,
            });
            let rules = self.rules.get(instance / SLOTS).and_then(Option::as_ref);
            let (is_ready, is_live) = rules.map_or((false, false), |rules| (rules.ready, rules.live));
            for (side, is_wanted) in [is_ready, is_live].into_iter().enumerate() {
                let target = attempt.filter(|_| is_wanted);
                let ask = &mut self.prober.asks[instance][side];
                if ask.map(|ask| ask.attempt) != target {
                    *ask = target.map(|attempt| Ask { attempt, next: Some(self.now + MILLI), last: None });
                    is_news = true;
                }
            }
        }
        if is_news {
            self.prober.find_first();
        }
    }

    /// Everybody is asked once more, and what was said before is forgotten.
    pub fn ask_anew(&mut self) {
        self.prober.replies.clear();
        self.prober.arrived.clear();
        for ask in self.prober.asks.iter_mut().flatten().flatten() {
            (ask.next, ask.last) = (Some(self.now), None);
        }
        self.prober.find_first();
    }

    /// What the prober does at this moment: answers that arrive wake the controller.
    pub fn probe(&mut self, until: u64) {
        self.event |= self.prober.arrive(until);
        for instance in 0..INSTANCES {
            for (i, side) in [Side::Ready, Side::Live].into_iter().enumerate() {
                if let Some(ask) = self.prober.asks[instance][i].filter(|ask| ask.next.is_some_and(|at| at <= until)) {
                    self.prober.asks[instance][i] = self.ask(instance, side, ask);
                }
            }
        }
        self.prober.find_first();
    }

    /// One question; what is asked afterwards.
    fn ask(&mut self, instance: usize, side: Side, mut ask: Ask) -> Option<Ask> {
        let main = self.procs.iter().find(|p| matches!(p.role, Role::Payload) && p.is_of(instance, ask.attempt));
        let (is_there, is_frozen) = (main.is_some(), main.is_some_and(|main| main.frozen));
        let born = self.truth.last[instance].as_ref().map_or(self.now, |last| last.started);
        let revision = self.procs.iter().find_map(|p| match &p.role {
            Role::Shim(shim) if p.is_of(instance, ask.attempt) => Some(names::revision_number(&shim.revision)),
            Role::Shim(_) | Role::Payload | Role::Child | Role::Stranger => None,
        });
        let nature = self.nature(revision.unwrap_or(0));
        let turn = match side {
            Side::Ready => nature.ready_after,
            Side::Live => nature.hangs_after,
        };
        let turn = turn.map(|after| born + after.as_nanos() as u64);
        let has_turned = turn.is_some_and(|turn| turn <= self.now);
        let is_honest = is_there && !is_frozen && (has_turned == (side == Side::Ready));
        let is_lie = !self.is_calm && self.rng.chance(if side == Side::Ready { 100 } else { 20 });
        let is_pass = is_honest != is_lie;
        self.tell(|| format!("{} attempt {} is asked {side:?}: {is_pass}", names::id(instance), ask.attempt));
        let is_lost = !self.is_calm && self.rng.chance(100);
        if !is_lost && ask.last != Some(is_pass) {
            self.reply(instance, side, ask, is_pass);
            ask.last = Some(is_pass);
        }
        let turn = turn.filter(|turn| *turn > self.now);
        ask.next = if self.is_calm { turn } else { Some(self.now + self.rng.between(300, 4000) * MILLI) };
        // One last answer about a process that is gone.
        is_there.then_some(ask)
    }

    fn reply(&mut self, instance: usize, side: Side, ask: Ask, is_pass: bool) {
        let is_late = !self.is_calm && self.rng.chance(150);
        let delay = if is_late { self.rng.between(1000, 8000) } else { self.rng.between(1, 300) };
        let asked_at = BootTime::from_nanos(self.now);
        let evidence = Evidence { attempt: ask.attempt, asked_at, is_pass, has_passed: is_pass, said: "probe".into() };
        match side {
            Side::Ready if is_pass => self.truth.passed[instance] = Some(ask.attempt),
            Side::Live if !is_pass => self.truth.failed[instance] = Some((ask.attempt, self.now)),
            Side::Ready | Side::Live => {}
        }
        self.prober.replies.push(Reply { at: self.now + delay * MILLI, instance, side, evidence });
    }
}
