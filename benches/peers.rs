//! Runs setpoint beside supervisord, runit, s6 and bare system calls, and prints one table of ratios.
//!
//! In: which rows and peers, how thorough. Out: markdown on stdout, progress on stderr. Not here: installing the peers
//! (`benches/setup`) and rows that need no peer by themselves (`benches/engine.rs`).
//! The surprise: a second process of this program stands guard and ends what is left when this one is killed.

#[path = "peers/account.rs"]
mod account;
#[path = "peers/adapters.rs"]
mod adapters;
#[path = "peers/add.rs"]
mod add;
#[path = "peers/bringup.rs"]
mod bringup;
#[path = "peers/death.rs"]
mod death;
#[path = "peers/floor.rs"]
mod floor;
#[path = "peers/inside.rs"]
mod inside;
#[path = "peers/lab.rs"]
mod lab;
#[path = "peers/logs.rs"]
mod logs;
#[path = "peers/probes.rs"]
mod probes;
#[path = "peers/restart.rs"]
mod restart;
#[path = "peers/scan.rs"]
mod scan;
#[path = "peers/setpoint.rs"]
mod setpoint;
#[path = "peers/stop.rs"]
mod stop;
#[path = "peers/table.rs"]
mod table;
#[path = "peers/watch.rs"]
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use adapters::{Peer, Scanned, Scanner, Service, Supervisord};
use lab::{Lab, Site};
use setpoint::Setpoint;
use table::Table;

const USAGE: &str =
    "usage: benches/run [--rows 1,2,3,4,5,6,7,10,11,12] [--peers supervisord,runit,s6,setpoint] [--quick]";

/// What a run is asked to do.
pub struct Order {
    /// Where labs are made.
    pub site: Site,
    /// The rows of the benchmark table.
    pub rows: Vec<u8>,
    /// The peers by name.
    pub peers: Vec<String>,
    /// Smaller counts: a try-out, no evidence.
    pub is_quick: bool,
}

impl Order {
    /// The first number in a thorough run, the second in a quick one.
    pub fn pick(&self, thorough: usize, quick: usize) -> usize {
        if self.is_quick { quick } else { thorough }
    }

    /// A new adapter for each peer that was asked for.
    pub fn each(&self) -> Vec<Box<dyn Peer>> {
        self.peers.iter().filter_map(|name| make(name)).collect()
    }
}

fn make(name: &str) -> Option<Box<dyn Peer>> {
    match name {
        "supervisord" => Some(Box::new(Supervisord::default())),
        "runit" => Some(Box::new(Scanned::new(Scanner::Runit))),
        "s6" => Some(Box::new(Scanned::new(Scanner::S6))),
        "setpoint" => Some(Box::new(Setpoint::default())),
        _ => None,
    }
}

/// `count` plain services of a lab, `s0` and on.
pub fn services(lab: &Lab, count: usize, extra: &[&str], is_logged: bool) -> Vec<Service> {
    let make = |number| {
        let id = format!("s{number}");
        Service { argv: lab.service(&id, extra), id, is_logged }
    };
    (0..count).map(make).collect()
}

/// The ids of services.
pub fn ids(services: &[Service]) -> Vec<String> {
    services.iter().map(|service| service.id.clone()).collect()
}

/// Configures, starts and waits for all; returns when the last came up.
pub fn bring_up(lab: &mut Lab, peer: &mut dyn Peer, services: &[Service], limit: Duration) -> io::Result<u64> {
    peer.configure(lab, services)?;
    peer.start(lab)?;
    lab.await_starts(&ids(services), 0, limit)
}

/// Sleeps, for peers to come to rest before a measurement.
pub fn settle(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

fn parse(args: &[String]) -> Result<Order, String> {
    let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let root = from_env("SETPOINT_BENCH").ok_or("SETPOINT_BENCH names no folder; start this through benches/run")?;
    let payload = from_env("SETPOINT_BENCH_PAYLOAD").ok_or("SETPOINT_BENCH_PAYLOAD names no program")?;
    let site = Site { root: root.join("labs"), payload };
    let peers = ["supervisord", "runit", "s6", "setpoint"].map(str::to_owned).to_vec();
    let mut order = Order { site, rows: (1..=7).chain([10, 11, 12]).collect(), peers, is_quick: false };
    let mut args = args.iter().filter(|arg| *arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value; {USAGE}"));
        match arg.as_str() {
            "--rows" => {
                let rows: Result<Vec<u8>, _> = value()?.split(',').map(str::parse).collect();
                order.rows = rows.map_err(|_| format!("--rows takes numbers; {USAGE}"))?;
            }
            "--peers" => order.peers = value()?.split(',').map(str::to_owned).collect(),
            "--quick" => order.is_quick = true,
            other => return Err(format!("`{other}` is not known; {USAGE}")),
        }
    }
    match order.peers.iter().find(|name| make(name).is_none()) {
        Some(name) => Err(format!("there is no peer `{name}`; {USAGE}")),
        None => Ok(order),
    }
}

/// One row: a name for progress, and its measurement.
type Row = (u8, &'static str, fn(&Order, &mut Table));

const ROWS: [Row; 9] = [
    (1, "a killed service comes back", restart::measure),
    (2, "bring-up, idle cost", bringup::measure),
    (4, "log capture", logs::measure),
    (5, "death of the supervisor", death::measure),
    (6, "stop", stop::measure),
    (7, "one more service", add::measure),
    (10, "a file that is made", watch::measure),
    (11, "process table, engine, loader", in_process),
    (12, "probes", probes::measure),
];

fn in_process(order: &Order, table: &mut Table) {
    scan::measure(order, table);
    match Lab::open(&order.site, "inside") {
        Ok(lab) => inside::measure(table, &lab.dir),
        Err(error) => table.note(format!("row 11: {error}")),
    }
}

fn run(mut order: Order) -> io::Result<()> {
    let mut table = Table::default();
    for name in order.peers.clone() {
        if !adapters::is_installed(&name) {
            table.note(format!("{name} is not installed; benches/setup says how"));
            order.peers.retain(|peer| *peer != name);
        }
    }
    for (row, name, measure) in ROWS {
        // Rows 2 and 3 share one bring-up of a thousand services.
        if order.rows.contains(&row) || (row == 2 && order.rows.contains(&3)) {
            eprintln!("row {row}: {name}");
            measure(&order, &mut table);
        }
    }
    println!("{}\n{}", machine(&order)?, table.print());
    Ok(())
}

fn machine(order: &Order) -> io::Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, m)| m);
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let lab = Lab::open(&order.site, "account")?;
    Ok(format!(
        "Machine: {} × {model}, {} MiB, Linux {}; load {} at the end. CPU time: {}.{}\n",
        thread::available_parallelism()?,
        memory.unwrap_or(0) / 1024,
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
        lab.account.words(),
        if order.is_quick { " A quick try-out with smaller counts than the figures name: no evidence." } else { "" },
    ))
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, root, owner] = args.as_slice()
        && verb == "guard"
    {
        lab::guard(Path::new(root), owner);
        return ExitCode::SUCCESS;
    }
    let order = match parse(&args) {
        Ok(order) => order,
        Err(text) => {
            eprintln!("error: {text}");
            return ExitCode::from(2);
        }
    };
    // Dropping its end of the pipe, by whatever death, is what wakes the guard.
    let guard = std::fs::create_dir_all(&order.site.root).and_then(|()| lab::post_guard(&order.site.root));
    let outcome = guard.and_then(|mut guard| {
        let outcome = run(order);
        drop(guard.stdin.take());
        guard.wait()?;
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}
