//! Row 5: SIGKILL of the supervisor while its services write logs, and its return.
//!
//! In: services that log a numbered line every now and then. Out: how many kept their pid, how many run twice, whose
//! log has a hole, and how soon somebody supervises again. Then the helper of one service is killed: does it run twice?
//! The surprise: one service is killed while nobody looks; the `main` of its replacement shows from outside when
//! supervision is back, whatever a supervisor says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::adapters::Peer;
use crate::lab::{Lab, PROCESSES_MAX, nanos, signal};
use crate::table::{Bar, Figure, Table};
use crate::{Order, bring_up, ids, services, settle};

const SAME: Figure = Figure::more(5, "supervisor killed and back: services with the same pid, %", Bar::Least(100.0));
const DOUBLED: Figure = Figure::new(5, "supervisor killed and back: services running twice", Bar::Most(0.0));
const HOLES: Figure = Figure::new(5, "supervisor killed and back: broken logs", Bar::Most(0.0));
const WATCHED: Figure = Figure::new(5, "supervised again (a lost service replaced), ms", Bar::Most(100.0));
const HELPER: Figure = Figure::new(5, "helper of a service killed: copies too many", Bar::Most(0.0));
const HELPER_BACK: Figure = Figure::new(5, "helper of a service killed: service down after 10 s", Bar::Most(0.0));
const ANSWERS: Figure = Figure::new(5, "answers again, ms", Bar::Most(100.0));

/// Measures every peer; there is no floor for this.
pub fn measure(order: &Order, table: &mut Table) {
    for mut peer in order.each() {
        if let Err(error) = one(order, table, &mut *peer) {
            table.note(format!("row 5, {}: {error}", peer.name()));
        }
    }
}

fn one(order: &Order, table: &mut Table, peer: &mut dyn Peer) -> io::Result<()> {
    // Peers with a logger beside each helper need four processes a service.
    let count = match peer.name() {
        "setpoint" => order.pick(1000, 100),
        _ => order.pick(200, 50),
    };
    assert!(count * 4 < PROCESSES_MAX * 2, "a service has at most three processes beside it");
    let mut lab = Lab::open(&order.site, "death")?;
    let services = services(&lab, count, &["log", "1000"], true);
    let names = ids(&services);
    bring_up(&mut lab, peer, &services, Duration::from_secs(120))?;
    settle(4.0);
    let before = alive(&lab);
    let known = lab.listen(Duration::ZERO);
    if !signal(peer.supervisor(), Signal::KILL) {
        return Err(io::Error::other("the supervisor was gone before it was killed"));
    }
    settle(3.0);
    lab.reap();
    // The one that is lost while nobody looks.
    let victim = names[count / 2].clone();
    let lost = lab.newest(&victim).is_some_and(|start| signal(start.pid, Signal::KILL));
    // Long enough for a helper of its own to bring it back, where peers have one; then this says nothing of the rest.
    settle(2.0);
    lab.listen(Duration::ZERO);
    let since = lab.starts.len();
    let was_helped = lab.starts[known..].iter().any(|start| start.id == victim);
    let begun = nanos();
    peer.start(&mut lab)?;
    if lost && !was_helped {
        match lab.await_starts(std::slice::from_ref(&victim), since, Duration::from_secs(30)) {
            Ok(at) => table.add(WATCHED, peer.name(), at.saturating_sub(begun) as f64 / 1e6),
            Err(_) => table.note(format!("row 5, {}: the lost service never came back", peer.name())),
        }
    }
    until_answers(table, peer, &mut lab, begun);
    settle(8.0);
    lab.listen(Duration::ZERO);
    let after = alive(&lab);
    let others: Vec<&String> = names.iter().filter(|id| **id != victim).collect();
    let kept = others.iter().filter(|id| before.get(**id).is_some_and(|pids| after.get(**id) == Some(pids))).count();
    table.add(SAME, peer.name(), kept as f64 * 100.0 / others.len() as f64);
    table.add(DOUBLED, peer.name(), after.values().filter(|pids| pids.len() > 1).count() as f64);
    let holes = others.iter().filter(|id| !is_whole(&peer.log_files(&lab, id))).count();
    table.add(HOLES, peer.name(), holes as f64);
    helper_death(table, peer, &mut lab, &names[0])
}

/// SIGKILL of the parent of one payload, where that is not the supervisor itself: does the service run twice?
fn helper_death(table: &mut Table, peer: &dyn Peer, lab: &mut Lab, id: &str) -> io::Result<()> {
    let payload = lab.newest(id).map_or(0, |start| start.pid);
    let stat = fs::read_to_string(format!("/proc/{payload}/stat"))?;
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
    let (helpers, _) = lab.split();
    let Some(parent) = parent.filter(|pid| helpers.contains(pid) && *pid != peer.supervisor()) else {
        return Ok(());
    };
    signal(parent, Signal::KILL);
    let mut most = 0;
    for _ in 0..50 {
        settle(0.2);
        most = most.max(alive(lab).get(id).map_or(0, Vec::len));
    }
    table.add(HELPER, peer.name(), most.saturating_sub(1) as f64);
    table.add(HELPER_BACK, peer.name(), f64::from(u8::from(most > 0 && !alive(lab).contains_key(id))));
    Ok(())
}

fn until_answers(table: &mut Table, peer: &mut dyn Peer, lab: &mut Lab, begun: u64) {
    if peer.name() != crate::table::OURS {
        return;
    }
    for _ in 0..500 {
        if peer.answers(lab) {
            table.add(ANSWERS, peer.name(), nanos().saturating_sub(begun) as f64 / 1e6);
            return;
        }
        settle(0.005);
    }
    table.note(format!("row 5, {}: it never answered again", peer.name()));
}

/// The live payloads by id.
fn alive(lab: &Lab) -> BTreeMap<String, Vec<u32>> {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for pid in lab.split().1 {
        let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if let Some(id) = argv.split(|byte| *byte == 0).nth(3) {
            found.entry(String::from_utf8_lossy(id).into_owned()).or_default().push(pid);
        }
    }
    found
}

/// True when the numbers in the log files run on from 0 without a gap, a repetition or a torn line.
fn is_whole(files: &[PathBuf]) -> bool {
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    let numbers = text.lines().map(|line| line.rsplit_once("line ").and_then(|(_, number)| number.parse::<u64>().ok()));
    let mut count = 0;
    let runs_on = numbers.enumerate().all(|(expected, number)| {
        count = expected + 1;
        number == Some(expected as u64)
    });
    // Fewer lines than seconds gone by: somebody stopped reading.
    runs_on && count >= 12
}
