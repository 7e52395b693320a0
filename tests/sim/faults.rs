//! Everything that goes wrong in a life, one thing at a time.

use setpoint::engine::backoff::{End, Exit};
use setpoint::engine::{BootId, BootTime};

use super::controller::Controller;
use super::disk::{Birth, Disk, Folder};
use super::names::{self, INSTANCES, OBJECTS, STRAY};
use super::people::People;
use super::shim::{Shim, Stage};
use super::truth::Death;
use super::world::{MILLI, PROCS_MAX, Role, SECOND, World};

/// The longest that a process somebody else started lives, unless it stays.
pub const TWIN_MAX: u64 = 20 * SECOND;
/// The longest that a process sits in an uninterruptible sleep.
const STUCK_MAX: u64 = 10 * SECOND;

impl World {
    /// One fault.
    pub fn strike(&mut self, controller: &mut Controller) {
        match self.rng.below(33) {
            0..=3 => self.kill_by_hand(),
            4 | 5 => self.freeze_or_thaw(),
            6 => self.in_process(|world, i| world.procs[i].stuck_until = world.now + world.rng.below(STUCK_MAX)),
            7 | 8 => self.in_process(|world, i| world.procs[i].unreadable = !world.procs[i].unreadable),
            9 | 10 => {
                self.disk = self.rng.pick(&[Disk::Fine, Disk::Fine, Disk::Full, Disk::ReadOnly]);
            }
            11 => {
                let instance = self.rng.index(STRAY);
                self.folders[instance].ghost = !self.folders[instance].ghost;
            }
            12 => self.step_wall(),
            13 => {
                // Asleep: the clocks go on and nobody else does.
                let span = self.rng.between(1, 3600) * SECOND;
                (self.now, self.wall) = (self.now + span, self.wall + span);
                self.truth.busy_since = None;
            }
            14 if self.rng.chance(300) => self.reboot(controller),
            15 | 16 => {
                let until = self.now + self.rng.below(8 * SECOND);
                controller.die(self, until);
            }
            17 | 18 => self.harm_records(),
            19 => {
                let instance = self.rng.index(STRAY);
                self.folders[instance].policy = None;
            }
            20 | 21 => self.event = false,
            22 | 23 => self.start_stranger(),
            24..=26 => self.start_twin(),
            27..=30 => {
                let instance = self.rng.index(STRAY);
                self.shelf.there[instance] = !self.shelf.there[instance];
                self.event |= self.rng.chance(800);
            }
            31 => {
                let o = self.rng.index(OBJECTS);
                self.shelf.broken[o] = !self.shelf.broken[o];
            }
            _ => self.hang_a_stop(),
        }
    }

    /// Faults end; what is broken for good stays broken.
    pub fn calm_down(&mut self, controller: &mut Controller, people: &mut People) {
        self.disk = Disk::Fine;
        for proc in &mut self.procs {
            proc.frozen = false;
            proc.unreadable = false;
            proc.stuck_until = proc.stuck_until.min(self.now);
            if proc.next.is_some_and(|at| at > self.now) && proc.fate == Exit::Signal(9) && !proc.is_shim() {
                proc.next = Some(self.now);
            }
        }
        for folder in &mut self.folders {
            folder.ghost = false;
        }
        self.rival = None;
        self.is_calm = true;
        self.shelf.broken = Default::default();
        self.ask_anew();
        people.unread = Default::default();
        people.opaque = Default::default();
        self.obey(people);
        controller.down_until = controller.down_until.map(|_| self.now);
        self.event = true;
        self.procs.retain(|proc| !matches!(proc.role, Role::Stranger) || proc.twin.is_some());
    }

    fn in_process(&mut self, harm: impl FnOnce(&mut World, usize)) {
        if !self.procs.is_empty() {
            let i = self.rng.index(self.procs.len());
            if self.procs[i].of != Some(STRAY) {
                harm(self, i);
            }
        }
    }

    fn kill_by_hand(&mut self) {
        let is_gentle = self.rng.chance(250);
        self.in_process(|world, i| {
            world.tell(|| format!("a hand kills {:?} pid {}", world.procs[i].of, world.procs[i].pid));
            world.deliver(i, if is_gentle { 15 } else { 9 });
        });
    }

    fn freeze_or_thaw(&mut self) {
        if self.rng.chance(400) {
            for proc in &mut self.procs {
                proc.frozen = false;
            }
        } else {
            self.in_process(|world, i| world.procs[i].frozen = true);
        }
    }

    fn step_wall(&mut self) {
        let step = self.rng.below(3600) * SECOND;
        self.wall = if self.rng.chance(500) { self.wall + step } else { self.wall - step };
    }

    /// Somebody starts by hand what could be an instance.
    fn start_twin(&mut self) {
        let instance = self.rng.index(STRAY);
        if self.procs.len() < PROCS_MAX / 2 && self.seeks_twins(instance / names::SLOTS) {
            let end = self.now + self.rng.below(TWIN_MAX);
            let lasts = self.rng.chance(300);
            let i = self.fork(Role::Stranger, None, 0);
            self.procs[i].twin = Some(instance);
            self.procs[i].deaf = self.rng.chance(200);
            self.procs[i].next = (!lasts).then_some(end);
            self.tell(|| format!("somebody starts a twin of {}", names::id(instance)));
        }
    }

    /// A shim in the middle of a stop does nothing any more.
    fn hang_a_stop(&mut self) {
        let is_stopping =
            |role: &Role| matches!(role, Role::Shim(shim) if matches!(shim.stage, Stage::Stopping { .. }));
        if let Some(proc) = self.procs.iter_mut().find(|p| is_stopping(&p.role) && p.of != Some(STRAY)) {
            proc.hung = true;
        }
    }

    fn start_stranger(&mut self) {
        if self.procs.len() < PROCS_MAX / 2 {
            let end = self.now + self.rng.below(20 * SECOND);
            // Many, so that numbers come round within a life.
            for _ in 0..self.rng.between(1, 40) {
                let i = self.fork(Role::Stranger, None, 0);
                self.procs[i].next = Some(end);
            }
        }
    }

    /// A record is torn, damaged or gone.
    fn harm_records(&mut self) {
        let instance = self.rng.index(STRAY);
        let is_empty = !self.procs.iter().any(|p| p.of == Some(instance)) && !self.folders[instance].ghost;
        let harm = self.rng.below(3);
        self.harm_record(instance, harm, is_empty);
    }

    fn harm_record(&mut self, instance: usize, harm: u64, is_empty: bool) {
        let folder = &mut self.folders[instance];
        let Some(record) = folder.records.last_mut() else { return };
        match harm {
            0 if record.birth == Birth::Written => record.birth = Birth::Damaged,
            1 => record.attempt.end = End::Open,
            // Losing a record is one fault; losing it beside a living tree without a lock would be three.
            2 if is_empty => {
                folder.records.pop();
                self.records_lost += 1;
                self.rival = None;
            }
            _ => return,
        }
        let highest = folder.highest();
        if let Some(last) = &mut self.truth.last[instance] {
            (last.death, last.is_ok) = (Death::Unwritten, false);
            last.number = last.number.min(highest);
        }
    }

    /// The power goes: processes are gone, boot time starts over, and what was not synced may be torn.
    fn reboot(&mut self, controller: &mut Controller) {
        self.procs.clear();
        self.answers.clear();
        self.rival = None;
        self.boots += 1;
        self.boot_id = BootId::new(&format!("boot-{}", self.boots));
        self.wall += self.rng.below(600) * SECOND;
        self.now = self.rng.between(1, 20) * SECOND;
        self.forget_starts();
        for instance in 0..INSTANCES {
            self.folders[instance].ghost = false;
            if self.rng.chance(400) {
                let harm = self.rng.below(3);
                self.harm_record(instance, harm, true);
            }
        }
        let until = self.now + self.rng.below(2000) * MILLI;
        controller.die(self, until);
    }

    /// A live shim that no generation of the desired state explains.
    pub fn plant_stray(&mut self) {
        let shim = Shim {
            stage: Stage::Ready,
            uid: "nobody".into(),
            revision: super::names::revision(1, 0),
            streak: Default::default(),
            policy: setpoint::engine::plan::Policy::DEFAULT,
            caller: 0,
            asked: false,
            failing: false,
            exit: None,
            is_doomed: false,
        };
        let attempt = super::disk::Record::claimed(1).attempt;
        let i = self.fork(Role::Shim(Box::new(shim)), Some(STRAY), 1);
        self.procs[i].lock = true;
        let id = self.id_of(&self.procs[i]);
        let main = self.fork(Role::Payload, Some(STRAY), 1);
        self.procs[main].lock = true;
        let mut folder = Folder::default();
        folder.claim(1);
        folder.records[0].birth = Birth::Written;
        folder.records[0].attempt = setpoint::engine::backoff::Attempt {
            uid: "nobody".into(),
            revision: super::names::revision(1, 0),
            shim: id,
            payload: self.procs[main].pid,
            boot_id: self.boot_id.clone(),
            started: BootTime::from_nanos(self.now),
            ..attempt
        };
        self.folders[STRAY] = folder;
    }
}
