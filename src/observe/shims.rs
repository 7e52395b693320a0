//! Puts processes and records together: which instances live, and in what condition.
//!
//! In: a listing, and the record of each instance. Out: sightings. Not here: memory of earlier looks.
//! The surprise: a process that calls itself a shim is believed only when its pid and start time stand in the birth
//! record; anybody can choose an argument list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::clock::Clock;
use super::records::{self, Read};
use super::table::{Listing, Process, ProcessState, Table};
use super::tree::{self, Families, Lost};
use crate::engine::backoff::{Backoff, End};
use crate::engine::observed::{Alive, Member, Phase};
use crate::engine::{Coverage, InstanceId, Observed, ProcId, Sight, Sighting};
use crate::home::Home;
use crate::record::LOCK_FILE;
use crate::record::argv;

/// Where to look.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The home.
    pub home: &'a Home,
    /// The clocks.
    pub clock: &'a Clock,
    /// The process table.
    pub table: &'a dyn Table,
}

/// A shim by its own word.
#[derive(Clone, Debug)]
struct Claim {
    attempt: u32,
    revision: crate::engine::Revision,
    process: Process,
}

/// Looks at `instances`, and at every instance a listed process claims to be. With `want_trees`, live instances come
/// with their processes too.
#[must_use]
pub fn look(cx: Look<'_>, listing: &Listing, instances: Vec<InstanceId>, want_trees: bool) -> (Observed, Backoff) {
    let claims = claims(cx, listing);
    let families = want_trees.then(|| Families::of(listing));
    let mut all: BTreeSet<InstanceId> = instances.into_iter().collect();
    all.extend(claims.keys().cloned());
    let mut observed = Observed { coverage: listing.coverage.clone(), ..Observed::empty() };
    let mut backoff = Backoff::default();
    for id in all {
        let claims = claims.get(&id).map_or(&[][..], Vec::as_slice);
        let (mut sighting, attempt) = sighting(cx, listing, &id, claims);
        if let (Some(families), Sight::Seen(alive)) = (&families, &mut sighting.sight)
            && alive.phase != Phase::Lingering
        {
            alive.tree = families.descendants(vec![alive.shim.pid], &alive.shim.boot).into();
        }
        if sighting.sight != Sight::Absent {
            observed.sightings.insert(id.clone(), sighting);
        }
        if let Some(read) = attempt {
            backoff.0.insert(id, read.attempt);
        }
    }
    (observed, backoff)
}

/// Looks at one instance by its record alone, without a listing: enough when its last attempt is known.
///
/// `None` when only a listing can tell.
#[must_use]
pub fn look_at(cx: Look<'_>, id: &InstanceId, number: u32) -> Option<(Sighting, Read)> {
    let folder = cx.home.records(id);
    let read = own(cx, records::attempt_of(&folder, number).ok()??);
    let last = &read.attempt;
    if last.boot_id != *cx.clock.boot_id() {
        return None;
    }
    let shim = cx.table.process(last.shim.pid).filter(|p| is_shim(p, &last.shim));
    let sight = match (&shim, &last.end) {
        (Some(process), _) => Sight::Seen(alive(&read, process, cx.table.process(last.payload).as_ref())),
        (None, End::Ended { .. }) if !records::is_locked(&folder).ok()? => Sight::Absent,
        (None, End::Ended { .. } | End::Open) => return None,
    };
    Some((Sighting { policy: records::policy(&folder), ..Sighting::of(sight) }, read))
}

/// The record as it counts here: one that was copied with its home names processes of the original, which are
/// nothing to this one.
fn own(cx: Look<'_>, read: Read) -> Read {
    match &read.birth {
        Some(birth) if birth.home != cx.home.id() => records::damaged(read.attempt.number),
        Some(_) | None => read,
    }
}

fn is_shim(process: &Process, shim: &ProcId) -> bool {
    process.started == shim.started && process.state != ProcessState::Zombie && argv::is_comm(process.name.as_bytes())
}

/// Every live process that calls itself a shim of this home, by instance.
fn claims(cx: Look<'_>, listing: &Listing) -> BTreeMap<InstanceId, Vec<Claim>> {
    let mut claims: BTreeMap<InstanceId, Vec<Claim>> = BTreeMap::new();
    for process in listing.processes.values() {
        if process.state == ProcessState::Zombie || !argv::is_comm(process.name.as_bytes()) {
            continue;
        }
        let Some(bytes) = cx.table.argv(process.pid) else { continue };
        let Some(said) = argv::parse(&bytes).filter(|said| said.home == cx.home.id()) else { continue };
        if let (Ok(id), Ok(revision)) = (said.instance.parse::<InstanceId>(), said.revision.parse()) {
            let claim = Claim { attempt: said.attempt, revision, process: process.clone() };
            claims.entry(id).or_default().push(claim);
        }
    }
    claims
}

fn sighting(cx: Look<'_>, listing: &Listing, id: &InstanceId, claims: &[Claim]) -> (Sighting, Option<Read>) {
    let folder = cx.home.records(id);
    // A record that names a live process is the newest: a later attempt would need the lock this one holds.
    if let Some((process, read)) = claims.iter().find_map(|claim| recorded(&folder, claim)) {
        let payload = listing.processes.get(&read.attempt.payload);
        let sight = Sight::Seen(alive(&read, process, payload));
        return (Sighting { policy: records::policy(&folder), ..Sighting::of(sight) }, Some(read));
    }
    if let Some(claim) = claims.iter().find(|claim| holds_removed(&folder, claim)) {
        let pid = claim.process.pid;
        let why = format!("its shim lives, and its record was removed; to have it started anew: kill {pid}");
        return (Sighting::of(Sight::Unreadable { why: why.into() }), None);
    }
    let read = match records::last_attempt(&folder) {
        Ok(read) => read.map(|read| own(cx, read)),
        Err(error) => {
            let why = format!("{} cannot be read: {error}", folder.display());
            return (Sighting::of(Sight::Unreadable { why: why.into() }), None);
        }
    };
    let newest = read.as_ref().map_or(0, |read| read.attempt.number);
    let is_starting = |claim: &Claim| claim.process.name.as_bytes() == argv::STARTING.to_bytes();
    let starting = claims.iter().find(|claim| claim.attempt > newest && is_starting(claim));
    let sight = match (unseen(cx, listing, id, read.as_ref()), starting) {
        // Somebody holds the lock, and this one may be about to write its birth.
        (Sight::Unreadable { .. }, Some(claim)) => Sight::Seen(fresh(cx, claim)),
        (sight, _) => sight,
    };
    (Sighting { policy: records::policy(&folder), ..Sighting::of(sight) }, read)
}

/// The record of the attempt that a process claims to be, when that record names it.
fn recorded<'a>(folder: &std::path::Path, claim: &'a Claim) -> Option<(&'a Process, Read)> {
    let read = records::attempt_of(folder, claim.attempt).ok()??;
    is_shim(&claim.process, &read.attempt.shim).then_some((&claim.process, read))
}

/// True when a process that calls itself a shim holds the lock of the instance, and that has been unlinked: somebody
/// removed the records under it. It is believed so far that nothing is started beside it.
fn holds_removed(folder: &std::path::Path, claim: &Claim) -> bool {
    let mut lock = folder.join(LOCK_FILE).into_os_string();
    lock.push(" (deleted)");
    tree::holds(claim.process.pid, std::path::Path::new(&lock))
}

/// A live shim with a birth record.
fn alive(read: &Read, shim: &Process, payload: Option<&Process>) -> Alive {
    let last = &read.attempt;
    let payload = payload.filter(|p| p.started == read.payload_started);
    let comm = |name: &std::ffi::CStr| shim.name.as_bytes() == name.to_bytes();
    // A payload that has not been executed is a copy of its shim, and still called like it.
    let is_executed = payload.is_some_and(|p| p.name.as_bytes() != argv::STARTING.to_bytes());
    let phase = match &last.end {
        End::Ended { .. } => Phase::Ending,
        End::Open if comm(argv::STOPPING) => Phase::Stopping,
        End::Open if comm(argv::STARTING) && !is_executed => Phase::Starting,
        End::Open if payload.is_some_and(|p| p.state == ProcessState::Stopped) => Phase::Frozen,
        End::Open => Phase::Running,
    };
    Alive {
        attempt: last.number,
        revision: last.revision.clone(),
        shim: last.shim.clone(),
        payload: last.payload,
        since: last.started,
        phase,
        is_told: !comm(argv::STARTING),
        tree: [].into(),
    }
}

/// A live shim that has not written its birth yet. Anybody may look like one, so it is waited for and never signalled.
fn fresh(cx: Look<'_>, claim: &Claim) -> Alive {
    let Process { pid, started, .. } = claim.process;
    Alive {
        attempt: claim.attempt,
        revision: claim.revision.clone(),
        shim: ProcId { boot: cx.clock.boot_id().clone(), pid, started },
        payload: 0,
        since: cx.clock.of_ticks(started),
        phase: Phase::Spawning,
        is_told: false,
        tree: [].into(),
    }
}

/// No shim is listed: absent when the lock is free and nothing of an unfinished attempt is left.
fn unseen(cx: Look<'_>, listing: &Listing, id: &InstanceId, read: Option<&Read>) -> Sight<Alive> {
    if let Coverage::Partial { why } = &listing.coverage {
        return Sight::Unreadable { why: why.clone() };
    }
    let folder = cx.home.records(id);
    let is_locked = match records::is_locked(&folder) {
        Ok(is_locked) => is_locked,
        Err(error) => return Sight::Unreadable { why: format!("its lock cannot be tried: {error}").into() },
    };
    if let Some(read) = read.filter(|read| read.attempt.boot_id == *cx.clock.boot_id()) {
        let last = &read.attempt;
        let is_open = last.end == End::Open;
        if is_open || is_locked {
            let lock = folder.join(LOCK_FILE);
            let payload = (last.payload, read.payload_started);
            let lost = Lost { id, home: cx.home.id(), shim: &last.shim, payload, lock: &lock };
            let tree = tree::orphans(cx.table, listing, &lost, is_locked);
            if !tree.is_empty() && is_open {
                let tree: Arc<[Member]> = tree.into();
                return Sight::Seen(Alive { phase: Phase::Lingering, tree, ..lingering(read) });
            }
        }
    }
    match is_locked {
        true => Sight::Unreadable { why: "its lock is held, and nobody visible holds it".into() },
        false => Sight::Absent,
    }
}

fn lingering(read: &Read) -> Alive {
    let last = &read.attempt;
    Alive {
        attempt: last.number,
        revision: last.revision.clone(),
        shim: last.shim.clone(),
        payload: last.payload,
        since: last.started,
        phase: Phase::Lingering,
        is_told: false,
        tree: [].into(),
    }
}
