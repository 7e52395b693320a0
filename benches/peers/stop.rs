//! Row 6: stop everything, and what survives it.
//!
//! In: 100 services; then three that each left a descendant with a session of its own and no ear for TERM.
//! Out: seconds until the last is gone; how many descendants live on. Not here: cgroups, which nobody here is given.
//! The surprise: the descendants are counted after every peer's longest patience, twelve seconds later.

use std::io;
use std::time::Duration;

use crate::adapters::Peer;
use crate::lab::{Lab, await_ends, nanos, pidfd};
use crate::table::{Bar, FLOOR, Figure, Table};
use crate::{Order, bring_up, floor, ids, services, settle};

const TIME: Figure = Figure::new(6, "100 services stopped, s", Bar::Most(0.15));
const LEFT: Figure = Figure::new(6, "services left after 60 s", Bar::Most(0.0));
const DESCENDANTS: Figure = Figure::new(6, "setsid descendants alive after stop, of 3", Bar::Most(0.0));

/// Measures the floor, and every peer.
pub fn measure(order: &Order, table: &mut Table) {
    match Lab::open(&order.site, "stop").and_then(|mut lab| floor::stop(&mut lab, 100)) {
        Ok(seconds) => table.add(TIME, FLOOR, seconds),
        Err(error) => table.note(format!("row 6, floor: {error}")),
    }
    for mut peer in order.each() {
        let outcome = hundred(order, table, &mut *peer).and_then(|()| descendants(order, table, &mut *peer));
        if let Err(error) = outcome {
            table.note(format!("row 6, {}: {error}", peer.name()));
        }
    }
}

fn hundred(order: &Order, table: &mut Table, peer: &mut dyn Peer) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "stop")?;
    let services = services(&lab, 100, &[], false);
    bring_up(&mut lab, peer, &services, Duration::from_secs(60))?;
    settle(4.0);
    let (_, payloads) = lab.split();
    let fds: Vec<_> = payloads.into_iter().filter_map(pidfd).collect();
    let waiting = std::thread::spawn(move || await_ends(fds, Duration::from_secs(60)));
    let begun = nanos();
    let told = peer.stop_all(&mut lab);
    let (last, left) = waiting.join().map_err(|_| io::Error::other("the watch over the ends broke"))?;
    table.add(TIME, peer.name(), last.saturating_sub(begun) as f64 / 1e9);
    table.add(LEFT, peer.name(), left as f64);
    told
}

fn descendants(order: &Order, table: &mut Table, peer: &mut dyn Peer) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "leave")?;
    let services = services(&lab, 3, &["leave"], false);
    bring_up(&mut lab, peer, &services, Duration::from_secs(60))?;
    let left: Vec<String> = ids(&services).iter().map(|id| format!("{id}.d")).collect();
    lab.await_starts(&left, 0, Duration::from_secs(30))?;
    settle(2.0);
    let fds: Vec<_> = left.iter().filter_map(|id| pidfd(lab.newest(id)?.pid)).collect();
    let told = peer.stop_all(&mut lab);
    let (_, alive) = await_ends(fds, Duration::from_secs(12));
    table.add(DESCENDANTS, peer.name(), alive as f64);
    told
}
