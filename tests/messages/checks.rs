//! What the world holds against a decision when it is carried out, found out without asking the engine.

use setpoint::engine::desired::Spec;
use setpoint::engine::plan::{Finish, MessageFate, Return, Spawn};
use setpoint::engine::run::{Arises, Outcome, RunRule, Work, order};
use setpoint::engine::{InstanceId, Object, ObjectRef};

use super::kind::Nature;
use super::store::{Row, State};
use super::world::{Rule, World, half, whole};

impl World {
    fn rule(&self, id: &ObjectRef) -> Option<(&Object, &RunRule)> {
        let object = self.desired.objects.get(id)?;
        let Spec::Known(kind) = &object.spec else { return None };
        Some((object, kind.runs()?))
    }

    fn at_once(&self, id: &ObjectRef) -> Option<usize> {
        match &self.rule(id)?.1.arises {
            Arises::Messages(queue) => Some(queue.at_once as usize),
            Arises::Times(_) | Arises::Once { .. } | Arises::Asked => None,
        }
    }

    fn is_paused(&self, object: &Object) -> bool {
        let pause = object.overrides.paused.as_ref();
        pause.is_some_and(|pause| pause.until.is_none_or(|until| self.at() < until))
    }

    /// True when the machine is beyond what people have said it may bear.
    fn is_pressed(&self) -> bool {
        let Some(settings) = order::settings(&self.desired) else { return false };
        let (gates, now) = (settings.gates, self.figures);
        let is_over = |limit: Option<u64>, figure: Option<u64>| limit.is_some() && figure > limit;
        is_over(gates.load, now.load) || is_over(gates.io, now.io) || now.memory_free < gates.memory_free
    }

    /// A claim that is decided on.
    pub fn check_claim(&mut self, object: &ObjectRef, count: u32) {
        let at_work = self.at_work().iter().filter(|id| id.object == *object).count();
        let Some((stored, _)) = self.rule(object) else { return };
        if self.desired.frozen.is_some() || self.is_paused(stored) {
            self.break_rule(Rule::Held, || format!("{object} claims"));
        }
        if self.is_pressed() {
            self.break_rule(Rule::Pressed, || format!("{object} claims"));
        }
        if self.at_once(object).is_some_and(|at_once| at_work + count as usize > at_once) {
            self.break_rule(Rule::Crowd, || format!("{object}: {at_work} at work, and claims {count}"));
        }
    }

    /// A start of a process.
    pub fn check_start(&mut self, id: &InstanceId, spawn: &Spawn) {
        if let Some((rule, what)) = self.start_fault(id) {
            self.break_rule(rule, || format!("{id} #{}: {what}", spawn.attempt));
        }
    }

    fn start_fault(&self, id: &InstanceId) -> Option<(Rule, String)> {
        let own = whole(id);
        let Some(row) = self.store.find(id) else { return Some((Rule::NotClaimed, "no row".into())) };
        let Some((object, rule)) = self.rule(&id.object) else { return Some((Rule::NotClaimed, "no object".into())) };
        if row.state != State::Claimed {
            return Some((Rule::NotClaimed, format!("{:?}", row.state)));
        }
        let at_work = self.at_work();
        if at_work.contains(&own) {
            return Some((Rule::Double, "something of it is at work".into()));
        }
        if self.desired.frozen.is_some() || self.is_paused(object) {
            return Some((Rule::Held, String::new()));
        }
        let is_step = id.cause.parent().is_some();
        let is_asked = matches!(&rule.work, Work::Sorted(sorting) if sorting.classifier.is_some());
        if (!row.nature.is_work() && !is_step) || (is_step && !is_asked) {
            return Some((Rule::Unasked, format!("{:?}", row.nature)));
        }
        let told = self.told.get(&own).cloned().unwrap_or_default();
        let mine =
            |of: &InstanceId, number: u32| whole(of) == own && (of.cause.parent().is_some() || number > told.base);
        let is_begun = self.records.iter().any(|(of, last)| mine(of, last.number));
        if !is_begun && self.is_pressed() {
            return Some((Rule::Pressed, format!("{:?}", self.figures)));
        }
        if !is_begun && row.message.expires.is_some_and(|expires| expires <= self.at()) {
            return Some((Rule::Expired, String::new()));
        }
        if told.is_done || told.is_poison {
            return Some((Rule::Again, format!("{told:?}")));
        }
        let beside = at_work.iter().filter(|other| other.object == id.object).count();
        if !is_begun && self.at_once(&id.object).is_some_and(|at_once| beside >= at_once) {
            return Some((Rule::Crowd, format!("beside {beside}")));
        }
        let limit = order::settings(&self.desired).and_then(|settings| settings.max_runs).unwrap_or(8) as usize;
        let procs = self.procs.iter().map(|proc| &proc.id).chain(self.spawns.iter().map(|(_, id, _)| id));
        // What is left of an object that was deleted is on its way out.
        if procs.filter(|id| self.desired.objects.contains_key(&id.object)).count() >= limit {
            return Some((Rule::Crowd, format!("{limit} in all")));
        }
        self.group_fault(row, &own).or_else(|| self.retry_fault(id, row, rule))
    }

    fn group_fault(&self, row: &Row, own: &InstanceId) -> Option<(Rule, String)> {
        let group = row.message.group.as_ref()?;
        let same = |other: &&Row| {
            other.object == row.object
                && other.message.group.as_ref() == Some(group)
                && other.message.id != row.message.id
        };
        let at_work = self.at_work();
        let is_at_work =
            |other: &&Row| at_work.contains(&InstanceId { object: other.object.clone(), cause: other.cause() });
        if let Some(other) = self.store.rows.iter().filter(same).find(is_at_work) {
            return Some((Rule::Group, format!("{} of the group is at work", other.message.id)));
        }
        let before =
            self.store.rows.iter().take_while(|other| other.message.id != row.message.id || other.object != own.object);
        let open = before.filter(same).find(|other| !other.state.is_over() && !other.is_revived);
        let open = open.filter(|_| !self.store.is_lax)?;
        Some((Rule::Group, format!("{} came before it", open.message.id)))
    }

    fn retry_fault(&self, id: &InstanceId, row: &Row, rule: &RunRule) -> Option<(Rule, String)> {
        if row.message.tries > rule.retry.times.max(4) {
            return Some((Rule::Retries, format!("{} tries", row.message.tries)));
        }
        // An edit moves no moment that is set; the shortest wait of all is kept in any case.
        let (boots, failed, set_about) = self.told.get(&whole(id))?.failed?;
        let is_same = boots == self.boots && set_about == self.set_about;
        let shortest = half(std::time::Duration::from_secs(1));
        let is_early = is_same && row.message.tries > 0 && self.now + 2_000_000 < failed + shortest;
        is_early.then(|| (Rule::RetryEarly, format!("failed at {failed}, now {}", self.now)))
    }

    /// A message goes back into its queue.
    pub fn check_return(&mut self, id: &InstanceId, back: &Return) {
        let told = self.told.get(id).cloned().unwrap_or_default();
        if told.is_done || told.is_poison {
            self.break_rule(Rule::Again, || format!("{id} goes back: {told:?}"));
        }
        if self.has(id) {
            self.break_rule(Rule::FalseEnd, || format!("{id} goes back, and is at work"));
        }
        if self.rule(&id.object).is_some_and(|(_, rule)| back.tries > rule.retry.times) {
            self.break_rule(Rule::Retries, || format!("{id} has failed {} times", back.tries));
        }
    }

    /// A message that is over now.
    pub fn check_end(&mut self, id: &InstanceId, finish: &Finish, before: Option<u32>) {
        let (Some(row), Some(end)) = (self.store.find(id).cloned(), &finish.message) else { return };
        let told = self.told.get(id).cloned().unwrap_or_default();
        if before != Some(0) {
            self.break_rule(Rule::FalseEnd, || format!("{id} ends for the second time"));
        }
        if end.fate == MessageFate::Dead && finish.why.is_empty() {
            self.break_rule(Rule::Unsaid, || id.to_string());
        }
        if self.has(id) {
            self.break_rule(Rule::FalseEnd, || format!("{id} is at work"));
        }
        let is_well = match row.nature {
            Nature::Dropped | Nature::Answered => true,
            Nature::Good | Nature::Flaky | Nature::Poison | Nature::Hopeless | Nature::Unknown => told.is_done,
        };
        if (end.fate == MessageFate::Ok && !is_well) || (end.fate != MessageFate::Ok && told.is_done) {
            self.break_rule(Rule::FalseEnd, || format!("{id} ends {:?}: {} ({told:?})", end.fate, finish.why));
        }
        if end.fate == MessageFate::Cancelled && row.cancel.is_none() {
            self.break_rule(Rule::FalseEnd, || format!("{id} is cancelled, and nobody asked"));
        }
        let is_plain = row.steps.is_empty() && row.reopened.is_empty() && !told.is_touched;
        let is_counted = matches!(finish.outcome, Outcome::Ok | Outcome::Failed | Outcome::Killed | Outcome::Lost);
        if is_plain && is_counted && row.nature.is_work() && end.tries != told.starts - told.interrupted {
            self.break_rule(Rule::Miscount, || format!("{id}: {} tries, {told:?}", end.tries));
        }
    }

    /// At rest, each message is over, in one way.
    pub fn check_rest(&mut self) {
        let open = self.store.rows.iter().find(|row| !row.state.is_over() || row.ends != 1);
        if let Some(row) = open {
            let what = format!("{}/{} is {:?} and ended {} times", row.object, row.message.id, row.state, row.ends);
            self.break_rule(Rule::Stuck, || what);
        }
    }
}
