//! Carries out a plan.
//!
//! In: a plan of the present generation. Out: its actions done or queued. Not here: choosing any of them.
//! The surprise: an action that fails is no news for the next pass by itself; what it failed on is looked at again.

use std::io;

use super::core::Core;
use super::starts::{Ready, Start};
use crate::engine::observed::Twin;
use crate::engine::plan::{Action, Decision, Policy, StopRule};
use crate::engine::{InstanceId, Now, Plan, ProcId, Revision, Sight};
use crate::execute::adopted;
use crate::execute::lost::{self, Declared};
use crate::execute::policy;
use crate::execute::signal::{self, Sent};
use crate::execute::spawn::Order;

impl Core {
    /// Carries out every action. True when another pass would find something new at once.
    pub(super) fn act(&mut self, plan: &Plan, now: &Now) -> bool {
        let mut is_more = false;
        // A plan of an older generation is never carried out.
        if plan.generation != self.desired.generation {
            return true;
        }
        for Decision { id, action, because: _ } in &plan.decisions {
            let Some(action) = action else { continue };
            is_more |= match action {
                Action::Spawn(spawn) => {
                    self.remains.keep(id);
                    self.starts.queue(id, spawn.clone(), plan.generation, now.boot, &mut self.observed);
                    false
                }
                Action::Stop { shim, policy, failing } => self.stop(id, shim, policy, failing.as_deref(), now),
                Action::Adopt { proc, revision } => self.adopt(id, proc, revision),
                Action::EndTree { tree, signal } => {
                    for member in tree.iter() {
                        let sent = signal::send_to(&self.table, &member.proc, *signal);
                        self.note_failed(id, &format!("{} ({})", member.name, member.proc.pid), sent);
                    }
                    if let Some(sighting) = self.observed.sightings.get_mut(id) {
                        sighting.tree_asked.get_or_insert(now.boot);
                    }
                    self.doubt(id);
                    false
                }
                Action::RecordLost { attempt } => self.record_lost(id, *attempt, now),
                Action::Fire(fire) => self.fire(id, fire, now),
                Action::Note(note) => self.write_note(id, note, now),
                Action::Finish(finish) => self.finish(id, finish, now),
                Action::Claim(claim) => self.claim(id, claim, now),
                Action::Return(back) => self.give_back(id, back, now),
                Action::SetPolicy { shim, policy } => self.set_policy(id, shim, policy),
            };
        }
        is_more
    }

    /// Starts what is queued, as far as there is room.
    pub(super) fn start_queued(&mut self, now: &Now) {
        self.starts.give_up_gathering(now.boot);
        self.gather(now);
        loop {
            let starts = self.starts.take_next();
            if starts.is_empty() {
                break;
            }
            for (start, ready) in self.still_alone(starts, now) {
                self.start(start, &ready, now);
            }
        }
    }

    fn start(&mut self, start: Start, ready: &Ready, now: &Now) {
        let Start { id, spawn, generation } = start;
        let given = ready.as_ref().map_err(String::as_str);
        let order = Order { id: &id, spawn: &spawn, generation, given };
        let begun = self.starter.start(&order).and_then(|pending| {
            self.watch.add_answer(&id, pending.answer)?;
            Ok(pending.child)
        });
        match begun {
            Ok(child) => self.starts.flies(id, child, now.boot),
            Err(error) => {
                tracing::warn!(instance = %id, "cannot be started: {error}");
                self.refuse(&id, &error.to_string());
                self.doubts.insert(id, (now.boot.after(crate::engine::converge::REFUSED_RETRY), 0));
            }
        }
    }

    /// Has gathered what starts need beside their manifests, as far as there is room.
    fn gather(&mut self, now: &Now) {
        while self.resolver.has_room()
            && let Some(start) = self.starts.take_needy()
        {
            let number = self.starts.next_number();
            let asked = self.resolver.ask(start.spawn.launch.clone()).and_then(|(asked, pipe)| {
                self.watch.add_gathered(&start.id, number, pipe)?;
                Ok(asked)
            });
            match asked {
                Ok(asked) => self.starts.gathers(start, number, asked, now.boot),
                Err(error) => self.starts.fails(start, format!("its environment cannot be gathered: {error}")),
            }
        }
    }

    fn stop(&mut self, id: &InstanceId, shim: &ProcId, policy: &Policy, failing: Option<&str>, now: &Now) -> bool {
        // The shim reads this before it stops; if it cannot be written, the shim goes by what it has.
        _ = policy::write_if_new(&self.home.records(id), policy, failing);
        let sent = self.signal(id, shim, StopRule::TERM);
        let is_gone = matches!(sent, Ok(Sent::Gone));
        self.note_failed(id, "its shim", sent);
        if let Some(sighting) = self.observed.sightings.get_mut(id) {
            sighting.stop_asked.get_or_insert(now.boot);
            if let Sight::Seen(alive) = &sighting.sight
                && failing.is_none()
            {
                self.ending.insert(id.clone(), alive.attempt);
            }
        }
        if is_gone {
            self.doubt(id);
        }
        false
    }

    fn record_lost(&mut self, id: &InstanceId, attempt: u32, now: &Now) -> bool {
        let is_asked = self.ending.remove(id) == Some(attempt);
        let has_runs = self.rule(&id.object).is_some() || self.observed.ledger.books.contains_key(&id.object);
        match lost::declare(&self.home, id, attempt, (is_asked, has_runs), now) {
            Ok(Declared::Lost) => self.look_once(id) || !self.doubts.is_empty(),
            Ok(Declared::Busy) => {
                self.doubt(id);
                false
            }
            Err(error) => {
                self.refuse(id, &format!("its record cannot be written: {error}"));
                true
            }
        }
    }

    /// Writes down which process of somebody else counts as this instance, and since which revision.
    fn adopt(&mut self, id: &InstanceId, proc: &ProcId, revision: &Revision) -> bool {
        if let Err(error) = adopted::write(&self.home.records(id), proc, revision) {
            self.tell_once(format!("{id}: that it is adopted cannot be written down: {error}"));
            return false;
        }
        if let Some(Twin::One(twin)) = self.observed.sightings.get_mut(id).map(|sighting| &mut sighting.twin) {
            twin.revision = Some(revision.clone());
        }
        true
    }

    fn set_policy(&mut self, id: &InstanceId, shim: &ProcId, policy: &Policy) -> bool {
        if let Err(error) = policy::write_if_new(&self.home.records(id), policy, None) {
            self.tell_once(format!("{id}: its policy file cannot be written: {error}"));
            return false;
        }
        let sent = self.signal(id, shim, StopRule::HUP);
        self.note_failed(id, "its shim", sent);
        if let Some(sighting) = self.observed.sightings.get_mut(id) {
            sighting.policy = Some(policy.clone());
        }
        true
    }

    /// Through the pidfd that watches it, or one made for this.
    fn signal(&self, id: &InstanceId, proc: &ProcId, signal: i32) -> io::Result<Sent> {
        match self.watch.pidfd(id, proc) {
            Some(fd) => signal::send(fd, signal),
            None => signal::send_to(&self.table, proc, signal),
        }
    }

    fn note_failed(&mut self, id: &InstanceId, whom: &str, sent: io::Result<Sent>) {
        if let Err(error) = sent {
            self.tell_once(format!("{id}: {whom} cannot be signalled: {error}"));
        }
    }
}
