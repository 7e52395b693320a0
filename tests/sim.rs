//! Thousands of seeded lives of the real engine on a fake machine.
//!
//! In: seeds. Out: silence, or the first life that went wrong with the line that replays it. `SEED=7 cargo test --test
//! sim` tells that life step by step; `LIVES=100000 cargo test --test sim` lives more, from a fresh start if `FROM` is
//! set. Not here: real processes (`tests/host*`), single decisions (`tests/table.rs`).
//! The surprise: every rule is also broken on purpose, by a mutant of the engine or of the machine, and each mutant must
//! die of the very rule that is there for it.

mod sim {
    pub mod big;
    pub mod controller;
    pub mod disk;
    pub mod faults;
    pub mod kind;
    pub mod life;
    pub mod look;
    pub mod names;
    pub mod others;
    pub mod people;
    pub mod probes;
    pub mod rng;
    pub mod shim;
    pub mod truth;
    pub mod world;
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use setpoint::engine::Mutant;
use setpoint::engine::plan::ACTIONS_MAX;
use sim::big;
use sim::life::{Cause, Failure, Mutants, Tally, live};
use sim::truth::Rule;
use sim::world::HostMutant;

/// Lives of one run.
const LIVES: u64 = 10_000;
/// Lives in which a mutant has to die.
const MUTANT_LIVES: u64 = 6000;
/// Deaths of a mutant that are looked at.
const MUTANT_DEATHS: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds that once failed; they always run first.
fn old_seeds() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next());
    lines.filter_map(|line| line.trim().parse().ok()).collect()
}

/// Lives every seed below `count` from `from` on, on all cores; the failure of the lowest seed that failed.
fn live_many(seeds: &[u64], from: u64, count: u64) -> Result<Tally, Failure> {
    let (next, total) = (AtomicU64::new(0), Mutex::new((Tally::default(), None::<Failure>)));
    let all = seeds.len() as u64 + count;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= all || total.lock().unwrap().1.is_some() {
                return;
            }
            let seed = usize::try_from(i).ok().and_then(|i| seeds.get(i)).copied();
            let seed = seed.unwrap_or(from + i.saturating_sub(seeds.len() as u64));
            let result = live(seed, Mutants::NONE, false);
            let mut total = total.lock().unwrap();
            match result {
                Ok(tally) => {
                    total.0.passes += tally.passes;
                    total.0.spawns += tally.spawns;
                }
                Err(failure) if total.1.as_ref().is_none_or(|known| failure.seed < known.seed) => {
                    total.1 = Some(failure);
                }
                Err(_) => {}
            }
        }
    };
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    match total.into_inner().unwrap() {
        (tally, None) => Ok(tally),
        (_, Some(failure)) => Err(failure),
    }
}

#[test]
fn a_life_under_faults_is_safe_and_comes_to_rest() {
    if let Some(seed) = number("SEED") {
        if let Err(failure) = live(seed, Mutants::NONE, true) {
            panic!("{failure}");
        }
        return;
    }
    let (began, lives) = (Instant::now(), number("LIVES").unwrap_or(LIVES));
    match live_many(&old_seeds(), number("FROM").unwrap_or(0), lives) {
        Ok(Tally { passes, spawns }) => {
            println!("{lives} lives, {passes} passes, {spawns} starts in {:.1?}", began.elapsed());
        }
        Err(failure) => panic!("{failure}"),
    }
}

/// The first lives in which this mutant is noticed.
fn deaths(mutants: Mutants) -> Vec<Failure> {
    (0..MUTANT_LIVES).filter_map(|seed| live(seed, mutants, false).err()).take(MUTANT_DEATHS).collect()
}

#[test]
fn every_mutant_of_the_engine_dies_of_the_rule_it_breaks() {
    for mutant in Mutant::ALL.iter().copied().filter(|mutant| *mutant != Mutant::UnboundedPlan) {
        let deaths = deaths(Mutants { engine: mutant, ..Mutants::NONE });
        println!("{mutant:?}: seeds {:?}", deaths.iter().map(|death| death.seed).collect::<Vec<_>>());
        assert!(!deaths.is_empty(), "{mutant:?} lives through {MUTANT_LIVES} lives");
        for death in deaths {
            let is_right = matches!(&death.cause, Cause::Audit(found) if found.iter().all(|v| v.rule == mutant));
            assert!(is_right, "{mutant:?} dies of something else: {death}");
        }
    }
}

#[test]
fn every_mutant_of_the_machine_dies_of_the_check_that_is_there_for_it() {
    for (mutant, rule) in HostMutant::ALL.iter().copied() {
        let deaths = deaths(Mutants { host: mutant, ..Mutants::NONE });
        println!("{mutant:?}: seeds {:?}", deaths.iter().map(|death| death.seed).collect::<Vec<_>>());
        assert!(!deaths.is_empty(), "{mutant:?} lives through {MUTANT_LIVES} lives");
        for death in deaths {
            let is_right = matches!(&death.cause, Cause::Host(breach) if breach.rule == rule);
            assert!(is_right, "{mutant:?} dies of something else: {death}");
        }
    }
}

#[test]
fn a_plan_is_bounded_however_much_there_is_to_do() {
    for case in big::CASES {
        let (actions, broken) = big::plan(*case, Mutant::None);
        assert_eq!((actions, broken), (ACTIONS_MAX, vec![]), "{case:?}");
        let (actions, broken) = big::plan(*case, Mutant::UnboundedPlan);
        assert!(actions > ACTIONS_MAX, "{case:?}: the case is too small");
        assert_eq!(broken, [Mutant::UnboundedPlan], "{case:?}");
    }
}

/// Mutants of the engine that the machine itself notices, and by which of its rules.
const NOTICED: &[(Mutant, &[Rule])] = &[
    (Mutant::UnlistedIsGone, &[Rule::Double]),
    (Mutant::UnreadableIsGone, &[Rule::Double, Rule::Converged, Rule::WakeStorm]),
    (Mutant::KillStrays, &[Rule::Stray]),
    (Mutant::NoBackoff, &[Rule::Early]),
    (Mutant::StreakForgotten, &[Rule::Early]),
    (Mutant::IgnorePause, &[Rule::PausedStart]),
    (Mutant::ForgetWake, &[Rule::Converged]),
    (Mutant::KillsAnother, &[Rule::Converged, Rule::Quiet]),
    (Mutant::SameAttempt, &[Rule::Converged, Rule::WakeStorm]),
    (Mutant::PolicyAgain, &[Rule::WakeStorm]),
    (Mutant::OldEvidence, &[Rule::Judged]),
    (Mutant::IgnoreNeeds, &[Rule::NeedsFirst]),
    (Mutant::StopNeedsFirst, &[Rule::StopOrder]),
    (Mutant::KillAdopted, &[Rule::Twin]),
    (Mutant::ItemsUnknown, &[Rule::ItemThere]),
    (Mutant::ItemGoneAtOnce, &[Rule::ItemThere]),
];

#[test]
fn the_machine_notices_without_any_audit() {
    for (mutant, rules) in NOTICED.iter().copied() {
        let deaths = deaths(Mutants { engine: mutant, is_unaudited: true, ..Mutants::NONE });
        assert!(!deaths.is_empty(), "{mutant:?} lives through {MUTANT_LIVES} unaudited lives");
        for death in deaths {
            let is_right = matches!(&death.cause, Cause::Host(breach) if rules.contains(&breach.rule));
            assert!(is_right, "{mutant:?} dies of something else: {death}");
        }
    }
}
