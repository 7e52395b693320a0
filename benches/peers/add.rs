//! Row 7: one more service beside many that run.
//!
//! In: 500 services. Out: the time from the edit of the configuration to the new `main`, the CPU time it takes, and
//! how many of the others were touched. Not here: edits of services that exist.
//! The surprise: the clock starts before the file is written, and a peer that must be told is told at once.

use std::io;
use std::time::Duration;

use crate::adapters::{Peer, Service};
use crate::lab::{Lab, nanos};
use crate::table::{Bar, FLOOR, Figure, Table, percentile};
use crate::{Order, bring_up, floor, services, settle};

const TIME: Figure = Figure::new(7, "one service added to 500, p50 ms", Bar::Most(30.0));
const WORST: Figure = Figure::new(7, "one service added to 500, worst ms", Bar::None);
const CPU: Figure = Figure::new(7, "CPU of adding it, ms", Bar::Most(25.0));
const OTHERS: Figure = Figure::new(7, "others restarted by it", Bar::Most(0.0));

/// Measures the floor, and every peer.
pub fn measure(order: &Order, table: &mut Table) {
    let bare = Lab::open(&order.site, "spawn").and_then(|mut lab| floor::spawns(&mut lab, order.pick(50, 10)));
    match bare {
        Ok(mut times) => percentile(&mut times, 50).into_iter().for_each(|p50| table.add(TIME, FLOOR, p50)),
        Err(error) => table.note(format!("row 7, floor: {error}")),
    }
    for mut peer in order.each() {
        if let Err(error) = one(order, table, &mut *peer) {
            table.note(format!("row 7, {}: {error}", peer.name()));
        }
    }
}

fn one(order: &Order, table: &mut Table, peer: &mut dyn Peer) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "add")?;
    let services = services(&lab, order.pick(500, 50), &[], false);
    bring_up(&mut lab, peer, &services, Duration::from_secs(120))?;
    settle(order.pick(6, 3) as f64);
    let known = lab.listen(Duration::ZERO);
    let (mut times, mut cpu) = (Vec::new(), Vec::new());
    for number in 0..order.pick(7, 3) {
        settle(1.1 + 0.23 * number as f64);
        let id = format!("x{number}");
        let service = Service { argv: lab.service(&id, &[]), id: id.clone(), is_logged: false };
        let (since, before) = (lab.starts.len(), lab.used());
        let begun = nanos();
        peer.add(&mut lab, &service)?;
        let at = lab.await_starts(&[id], since, Duration::from_secs(30))?;
        times.push(at.saturating_sub(begun) as f64 / 1e6);
        // What follows the start (state files, a second look) belongs to the price.
        settle(0.3);
        cpu.push(lab.used().saturating_sub(before).as_secs_f64() * 1e3);
    }
    settle(2.0);
    lab.listen(Duration::ZERO);
    let others = lab.starts[known..].iter().filter(|start| !start.id.starts_with('x')).count();
    table.add(OTHERS, peer.name(), others as f64);
    for (figure, values, percent) in [(TIME, &mut times, 50), (CPU, &mut cpu, 50)] {
        percentile(values, percent).into_iter().for_each(|value| table.add(figure, peer.name(), value));
    }
    percentile(&mut times, 100).into_iter().for_each(|value| table.add(WORST, peer.name(), value));
    Ok(())
}
