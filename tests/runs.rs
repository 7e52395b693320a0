//! Thousands of seeded lives of work that ends: schedules, jobs, workflows and their store on a fake machine.
//!
//! In: seeds. Out: silence, or the first life that went wrong with the line that replays it. `SEED=7 cargo test --test
//! runs` tells that life step by step; `LIVES=100000 cargo test --test runs` lives more, from `FROM` on if that is set.
//! Not here: services (`tests/sim.rs`), the real store (`tests/store.rs`).
//! The surprise: the world holds its own rules against what is done, and the audit its own against what is planned; a
//! rule of the engine that is switched off has to be noticed by the audit rule of that very name.

mod runs {
    pub mod checks;
    pub mod controller;
    pub mod kind;
    pub mod life;
    pub mod people;
    #[path = "../sim/rng.rs"]
    pub mod rng;
    pub mod store;
    mod table;
    pub mod truth;
    pub mod world;
    pub mod zones;
}

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use runs::life::{Failure, Mutants, Tally, Why, live};
use runs::truth::Rule;
use setpoint::engine::Mutant;

/// Lives of one run.
const LIVES: u64 = 1000;
/// Lives in which a mutant has to die.
const MUTANT_LIVES: u64 = 2000;
/// Deaths of a mutant that are looked at.
const MUTANT_DEATHS: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds that once failed; they always run first.
fn old_seeds() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next());
    lines.filter_map(|line| line.trim().strip_prefix("runs ")?.trim().parse().ok()).collect()
}

/// Lives these seeds and `count` from `from` on, on all cores; the failure of the lowest seed that failed.
fn live_many(seeds: &[u64], from: u64, count: u64) -> Result<Tally, Failure> {
    let (next, total) = (AtomicU64::new(0), Mutex::new((Tally::default(), None::<Failure>)));
    let old = seeds.len() as u64;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= old + count || total.lock().unwrap().1.is_some() {
                return;
            }
            let known = usize::try_from(i).ok().and_then(|i| seeds.get(i)).copied();
            let seed = known.unwrap_or(from + i.saturating_sub(old));
            let result = live(seed, Mutants::NONE, false);
            let mut total = total.lock().unwrap();
            match result {
                Ok(tally) => {
                    total.0.passes += tally.passes;
                    total.0.starts += tally.starts;
                    total.0.fires += tally.fires;
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
fn work_that_ends_is_done_once_under_faults_and_comes_to_rest() {
    if let Some(seed) = number("SEED") {
        if let Err(failure) = live(seed, Mutants::NONE, true) {
            panic!("{failure}");
        }
        return;
    }
    let (began, lives) = (Instant::now(), number("LIVES").unwrap_or(LIVES));
    match live_many(&old_seeds(), number("FROM").unwrap_or(0), lives) {
        Ok(Tally { passes, starts, fires }) => {
            println!("{lives} lives, {passes} passes, {fires} fires, {starts} starts in {:.1?}", began.elapsed());
        }
        Err(failure) => panic!("{failure}"),
    }
}

/// The first lives in which this mutant is noticed.
fn deaths(mutants: Mutants) -> Vec<Failure> {
    (0..MUTANT_LIVES).filter_map(|seed| live(seed, mutants, false).err()).take(MUTANT_DEATHS).collect()
}

#[test]
fn every_mutant_of_runs_dies_of_the_rule_it_breaks() {
    for mutant in Mutant::RUNS.iter().copied() {
        let deaths = deaths(Mutants { engine: mutant, is_unaudited: false });
        println!("{mutant:?}: seeds {:?}", deaths.iter().map(|death| death.seed).collect::<Vec<_>>());
        assert!(!deaths.is_empty(), "{mutant:?} lives through {MUTANT_LIVES} lives");
        for death in deaths {
            let is_right = matches!(&death.why, Why::Audit(found) if found.iter().all(|v| v.rule == mutant));
            assert!(is_right, "{mutant:?} dies of something else: {death}");
        }
    }
}

/// Mutants that the world itself notices, and by which of its rules.
const NOTICED: &[(Mutant, &[Rule])] = &[
    (Mutant::FiresAgain, &[Rule::Afresh]),
    (Mutant::FiresEarly, &[Rule::Early]),
    (Mutant::FiresBeforeKnown, &[Rule::Afresh]),
    (Mutant::CatchesUpUnbounded, &[Rule::CatchUp]),
    (Mutant::FiresEachOwed, &[Rule::CatchUp]),
    (Mutant::PassesInSilence, &[Rule::TickLost]),
    (Mutant::SkipsCatchUp, &[Rule::CatchUp]),
    (Mutant::ReplacesCatchUp, &[Rule::CatchUp]),
    (Mutant::CursorJumps, &[Rule::TickLost, Rule::Afresh]),
    (Mutant::ForgetDue, &[Rule::Asleep]),
    (Mutant::IgnoreQuiet, &[Rule::Quiet]),
    (Mutant::IgnoreFreeze, &[Rule::Frozen]),
    (Mutant::IgnoreConsent, &[Rule::Consent]),
    (Mutant::IgnoreOverlap, &[Rule::Overlap]),
    (Mutant::IgnoreMaxRuns, &[Rule::MaxRuns]),
    (Mutant::IgnorePressure, &[Rule::Pressed]),
    (Mutant::StartsEarly, &[Rule::Early]),
    (Mutant::OnceAgain, &[Rule::Once]),
    (Mutant::FinishAlive, &[Rule::FalseEnd]),
    (Mutant::IgnoreTimeout, &[Rule::Timeout, Rule::Storm]),
    (Mutant::RetriesForEver, &[Rule::Retries]),
    (Mutant::RetriesAtOnce, &[Rule::RetryEarly]),
    (Mutant::StepAgain, &[Rule::StepOrder, Rule::Storm]),
    (Mutant::StepOutOfTurn, &[Rule::StepOrder]),
];

#[test]
fn the_world_notices_without_any_audit() {
    let mut wrong = Vec::new();
    for (mutant, rules) in NOTICED.iter().copied() {
        let deaths = deaths(Mutants { engine: mutant, is_unaudited: true });
        if deaths.is_empty() {
            wrong.push(format!("{mutant:?} lives through {MUTANT_LIVES} unaudited lives"));
        }
        for death in deaths {
            let is_right = matches!(&death.why, Why::World(breach) if rules.contains(&breach.rule));
            if !is_right {
                wrong.push(format!("{mutant:?} dies of something else: {death}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
