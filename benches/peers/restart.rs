//! Row 1: SIGKILL of a service until the `main` of its replacement.
//!
//! In: thirty services, each up for three seconds before it is killed. Out: p50, p99, CPU time a restart.
//! Not here: quick deaths in a row, which every supervisor answers by its own backoff.
//! The surprise: the CPU figure holds everything in the lab, the exec of the payload itself included.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::adapters::Peer;
use crate::lab::{Lab, nanos, signal};
use crate::table::{Bar, FLOOR, Figure, Table, percentile};
use crate::{Order, bring_up, floor, ids, services, settle};

const P50: Figure = Figure::new(1, "restart p50, ms", Bar::PeerAndFloor("runit", 0.75, 2.5));
const P99: Figure = Figure::new(1, "restart p99, ms", Bar::Floor(10.0));
const CPU: Figure = Figure::new(1, "CPU a restart, ms", Bar::Most(2.5));
/// How long a victim has been up.
pub const LIFE_MIN: Duration = Duration::from_millis(3000);
/// So many that none is killed five times: a supervisor may rightly give up on a service that keeps dying young.
pub const SERVICES: usize = 30;

/// Measures the floor, and every peer.
pub fn measure(order: &Order, table: &mut Table) {
    let kills = order.pick(100, 10);
    let floor = Lab::open(&order.site, "floor").and_then(|mut lab| floor::cycles(&mut lab, kills.max(50)));
    match floor {
        Ok(times) => report(table, FLOOR, times),
        Err(error) => table.note(format!("row 1, floor: {error}")),
    }
    for mut peer in order.each() {
        if let Err(error) = one(order, table, &mut *peer, kills) {
            table.note(format!("row 1, {}: {error}", peer.name()));
        }
    }
}

fn report(table: &mut Table, name: &'static str, mut times: Vec<f64>) {
    for (figure, percent) in [(P50, 50), (P99, 99)] {
        if let Some(value) = percentile(&mut times, percent) {
            table.add(figure, name, value);
        }
    }
}

fn one(order: &Order, table: &mut Table, peer: &mut dyn Peer, kills: usize) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "restart")?;
    let services = services(&lab, SERVICES, &[], false);
    bring_up(&mut lab, peer, &services, Duration::from_secs(60))?;
    settle(LIFE_MIN.as_secs_f64());
    let before = lab.used();
    let times = kill_in_turn(&mut lab, &ids(&services), kills);
    let cpu = lab.used().saturating_sub(before);
    if times.len() < kills {
        table.note(format!(
            "row 1, {}: {} of {kills} killed services did not come back",
            peer.name(),
            kills - times.len()
        ));
    }
    if !times.is_empty() {
        table.add(CPU, peer.name(), cpu.as_secs_f64() * 1e3 / times.len() as f64);
    }
    report(table, peer.name(), times);
    Ok(())
}

/// Kills the services one after the other, each when it has lived long enough; returns milliseconds.
pub fn kill_in_turn(lab: &mut Lab, ids: &[String], kills: usize) -> Vec<f64> {
    let end = Instant::now() + Duration::from_secs(150);
    let (mut down, mut times, mut sent): (BTreeMap<&str, u64>, Vec<f64>, usize) = Default::default();
    let (mut read, mut next) = (lab.starts.len(), Instant::now());
    while times.len() < kills && Instant::now() < end {
        lab.listen(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        for start in &lab.starts[read..] {
            if let Some(killed) = down.remove(start.id.as_str()) {
                times.push(start.at.saturating_sub(killed) as f64 / 1e6);
            }
        }
        read = lab.starts.len();
        if Instant::now() < next || sent == kills {
            continue;
        }
        // An uneven pace, so that no timer of a peer beats in step with it.
        next = Instant::now() + Duration::from_millis(220 + (sent as u64 * 37) % 160);
        let old = nanos().saturating_sub(u64::try_from(LIFE_MIN.as_nanos()).unwrap_or(u64::MAX));
        let eldest =
            ids.iter().filter(|id| !down.contains_key(id.as_str())).filter_map(|id| Some((id, lab.newest(id)?)));
        if let Some((id, start)) = eldest.filter(|(_, start)| start.at < old).min_by_key(|(_, start)| start.at) {
            let killed = nanos();
            if signal(start.pid, Signal::KILL) {
                down.insert(id, killed);
                sent += 1;
            }
        }
    }
    times
}
