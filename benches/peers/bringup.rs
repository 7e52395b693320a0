//! Rows 2 and 3: start of the supervisor until the last of N services is up, and what it costs to keep them.
//!
//! In: 100 and 1 000 services. Out: seconds, CPU seconds, then CPU, wake-ups and memory at rest.
//! Not here: logs. The surprise: one start of a thousand serves both rows, since it is the dear part.

use std::io;
use std::time::{Duration, Instant};

use crate::account::{pss_kib, scheduled, switches};
use crate::adapters::Peer;
use crate::lab::{Lab, PROCESSES_MAX, nanos, show};
use crate::table::{Bar, FLOOR, Figure, Table};
use crate::{Order, ids, services, settle};

const UP_100: Figure = Figure::new(2, "100 services up, s", Bar::Peer("s6", 0.7));
const UP_1000: Figure = Figure::new(2, "1 000 services up, s", Bar::Peer("s6", 0.7));
const CPU_1000: Figure = Figure::new(2, "CPU of 1 000 services up, s", Bar::Most(2.5));
const EXTRA: Figure = Figure::new(2, "starts too many", Bar::Most(0.0));
const IDLE_CPU: Figure = Figure::new(3, "idle, 1 000 services: CPU ms per s", Bar::Most(0.2));
const IDLE_WAKES: Figure = Figure::new(3, "idle, 1 000 services: wake-ups per s", Bar::None);
const HELPER: Figure = Figure::new(3, "memory of a service's helper, MiB PSS", Bar::Most(0.16));
const MAIN: Figure = Figure::new(3, "memory of the supervisor, MiB PSS", Bar::Most(12.0));

/// Measures the floor, and every peer.
pub fn measure(order: &Order, table: &mut Table) {
    let many = order.pick(1000, 200);
    for (count, figure) in [(100, UP_100), (many, UP_1000)] {
        if let Err(error) = bare(order, table, count, figure) {
            table.note(format!("row 2, floor: {error}"));
        }
        for mut peer in order.each() {
            if let Err(error) = one(order, table, &mut *peer, count, figure) {
                table.note(format!("row 2, {count} services, {}: {error}", peer.name()));
            }
        }
    }
}

fn bare(order: &Order, table: &mut Table, count: usize, figure: Figure) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "up")?;
    let argv = [show(&lab.payload), "up".to_owned(), count.to_string(), show(&lab.path("fifo"))];
    let ids: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
    let begun = nanos();
    lab.spawn(&argv, &[])?;
    let last = lab.await_starts(&ids, 0, Duration::from_secs(60))?;
    table.add(figure, FLOOR, last.saturating_sub(begun) as f64 / 1e9);
    if figure.what == UP_1000.what {
        table.add(CPU_1000, FLOOR, lab.used().as_secs_f64());
    }
    Ok(())
}

fn one(order: &Order, table: &mut Table, peer: &mut dyn Peer, count: usize, figure: Figure) -> io::Result<()> {
    assert!(count * 2 + 100 < PROCESSES_MAX, "every service may have a helper beside it");
    let mut lab = Lab::open(&order.site, "up")?;
    let services = services(&lab, count, &[], false);
    peer.configure(&lab, &services)?;
    let begun = nanos();
    peer.start(&mut lab)?;
    let last = lab.await_starts(&ids(&services), 0, Duration::from_secs(240))?;
    let cpu = lab.used();
    table.add(figure, peer.name(), last.saturating_sub(begun) as f64 / 1e9);
    if figure.what != UP_1000.what {
        return Ok(());
    }
    table.add(CPU_1000, peer.name(), cpu.as_secs_f64());
    if order.rows.contains(&3) {
        idle(order, table, peer, &mut lab);
    }
    lab.listen(Duration::ZERO);
    table.add(EXTRA, peer.name(), lab.starts.len().saturating_sub(count) as f64);
    Ok(())
}

fn idle(order: &Order, table: &mut Table, peer: &dyn Peer, lab: &mut Lab) {
    settle(order.pick(10, 3) as f64);
    let (upper, payloads) = lab.split();
    let take = |lab: &Lab| (lab.used().saturating_sub(scheduled(&payloads)), switches(&upper));
    let (cpu, wakes) = take(lab);
    let begun = Instant::now();
    // Longer than the slowest regular look of any peer (60 s).
    settle(order.pick(75, 5) as f64);
    let (cpu_after, wakes_after) = take(lab);
    let seconds = begun.elapsed().as_secs_f64();
    table.add(IDLE_CPU, peer.name(), cpu_after.saturating_sub(cpu).as_secs_f64() * 1e3 / seconds);
    table.add(IDLE_WAKES, peer.name(), wakes_after.saturating_sub(wakes) as f64 / seconds);
    table.add(MAIN, peer.name(), pss_kib(peer.supervisor()) as f64 / 1024.0);
    let helpers: Vec<u32> = upper.into_iter().filter(|pid| *pid != peer.supervisor()).collect();
    let sample: Vec<u64> = helpers.iter().take(200).map(|pid| pss_kib(*pid)).collect();
    if !sample.is_empty() {
        table.add(HELPER, peer.name(), sample.iter().sum::<u64>() as f64 / 1024.0 / sample.len() as f64);
    }
}
