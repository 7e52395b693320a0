//! Row 12: what probes cost, and whether anything else feels them. setpoint only: no peer of these rows probes.
//!
//! In: services whose port answers at once, since it is this program's own. Out: restarts beside a hundred probes a
//! second and without, and the idle cost of a thousand services with a probe each at its default period.
//! Not here: slow or broken services, which are a test and no figure.
//! The surprise: the loop is told apart from the rest by its thread, the one that has the number of the process.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::account::{scheduled, switches};
use crate::adapters::Peer;
use crate::lab::Lab;
use crate::restart::{LIFE_MIN, SERVICES, kill_in_turn};
use crate::setpoint::Setpoint;
use crate::table::{Bar, Figure, OURS, Table, percentile};
use crate::{Order, bring_up, ids, services, settle};

const ALONE_P50: Figure = Figure::new(12, "restart p50 without probes, ms", Bar::None);
const ALONE_P99: Figure = Figure::new(12, "restart p99 without probes, ms", Bar::None);
const PROBED_P50: Figure = Figure::new(12, "restart p50 beside 100 probes/s, ms", Bar::None);
const PROBED_P99: Figure = Figure::new(12, "restart p99 beside 100 probes/s, ms", Bar::None);
const LOOP_CPU: Figure = Figure::new(12, "1 000 services with a tcp probe: CPU of the loop, ms/s", Bar::Most(1.0));
const LOOP_WAKES: Figure =
    Figure::new(12, "1 000 services with a tcp probe: wake-ups of the loop per s", Bar::Most(1.0));
const ALL_CPU: Figure =
    Figure::new(12, "1 000 services with a tcp probe: CPU of the controller, ms/s", Bar::Most(11.0));
const ALL_WAKES: Figure =
    Figure::new(12, "1 000 services with a tcp probe: wake-ups of the controller per s", Bar::None);
const EACH: Figure = Figure::new(12, "CPU of a tcp probe, ms", Bar::Most(0.1));

/// The default period of a probe, in seconds.
const PERIOD: f64 = 10.0;

/// Measures.
pub fn measure(order: &Order, table: &mut Table) {
    if !order.peers.iter().any(|name| name == OURS) {
        return;
    }
    let port = match listen() {
        Ok(port) => port,
        Err(error) => return table.note(format!("row 12: no port: {error}")),
    };
    let quick = format!("ready: {{ tcp: {port}, period: {}ms }}\n", SERVICES * 10);
    for (more, figures) in [(String::new(), [ALONE_P50, ALONE_P99]), (quick, [PROBED_P50, PROBED_P99])] {
        if let Err(error) = restarts(order, table, more, figures) {
            table.note(format!("row 12, restarts: {error}"));
        }
    }
    if let Err(error) = idle(order, table, format!("ready: {{ tcp: {port} }}\n")) {
        table.note(format!("row 12, idle: {error}"));
    }
}

/// A port that accepts whoever comes, for as long as this program runs.
fn listen() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    Ok(port)
}

fn restarts(order: &Order, table: &mut Table, more: String, figures: [Figure; 2]) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "probed")?;
    let services = services(&lab, SERVICES, &[], false);
    let mut setpoint = Setpoint::with(more);
    bring_up(&mut lab, &mut setpoint, &services, Duration::from_secs(60))?;
    settle(LIFE_MIN.as_secs_f64());
    let mut times = kill_in_turn(&mut lab, &ids(&services), order.pick(100, 10));
    for (figure, percent) in figures.into_iter().zip([50, 99]) {
        if let Some(value) = percentile(&mut times, percent) {
            table.add(figure, OURS, value);
        }
    }
    Ok(())
}

/// CPU time in nanoseconds and wake-ups of one thread.
fn thread(pid: u32) -> (u64, u64) {
    let task = format!("/proc/{pid}/task/{pid}");
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let used = fs::read_to_string(format!("{task}/schedstat")).unwrap_or_default();
    let status = fs::read_to_string(format!("{task}/status")).unwrap_or_default();
    let switched = status.lines().filter(|line| line.contains("ctxt_switches"));
    (number(used.split(' ').next()), switched.map(|line| number(line.rsplit_once('\t').map(|(_, count)| count))).sum())
}

fn idle(order: &Order, table: &mut Table, more: String) -> io::Result<()> {
    let count = order.pick(1000, 200);
    let mut lab = Lab::open(&order.site, "probes")?;
    let services = services(&lab, count, &[], false);
    let mut setpoint = Setpoint::with(more);
    bring_up(&mut lab, &mut setpoint, &services, Duration::from_secs(240))?;
    settle(order.pick(20, 12) as f64);
    let pid = setpoint.supervisor();
    let take = || (thread(pid), scheduled(&[pid]), switches(&[pid]));
    let (before, begun) = (take(), Instant::now());
    // As many rounds of every probe as there are whole periods in it, and one look at everything.
    settle(order.pick(60, 20) as f64);
    let (after, seconds) = (take(), begun.elapsed().as_secs_f64());
    let rate = |value: u64| value as f64 / seconds;
    let all = after.1.saturating_sub(before.1).as_secs_f64() * 1e3 / seconds;
    let own = rate(after.0.0.saturating_sub(before.0.0)) / 1e6;
    table.add(LOOP_CPU, OURS, own);
    table.add(LOOP_WAKES, OURS, rate(after.0.1.saturating_sub(before.0.1)));
    table.add(ALL_CPU, OURS, all);
    table.add(ALL_WAKES, OURS, rate(after.2.saturating_sub(before.2)));
    table.add(EACH, OURS, (all - own) / (count as f64 / PERIOD));
    Ok(())
}
