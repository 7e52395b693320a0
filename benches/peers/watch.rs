//! Row 10: a file is created, and what handles it runs.
//!
//! In: a folder, files that are made in it one by one. Out: the time from before the file is made to the handler's
//! `main`, without quiet and with what each waits by default, and how many were missed. Not here: many files at once,
//! which `tests/trigger.rs` counts.
//! The surprise: a loop of `inotifywait` and a shell writes nothing down and may lose what comes while it works, which no
//! figure here shows.

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::adapters::{is_installed, tool};
use crate::lab::{Lab, nanos, show};
use crate::table::{Bar, FLOOR, Figure, OURS, Table, percentile};
use crate::{Order, floor, settle};

const AT_ONCE: Figure = Figure::new(10, "file made to handler, no quiet, p50 ms", Bar::Most(4.0));
const AT_ONCE_LATE: Figure = Figure::new(10, "file made to handler, no quiet, p99 ms", Bar::None);
const DEFAULT: Figure = Figure::new(10, "file made to handler, default quiet, p50 ms", Bar::Most(505.0));
const MISSED: Figure = Figure::new(10, "files missed", Bar::Most(0.0));

/// How long a handler is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who watches.
#[derive(Clone, Copy)]
enum Watcher {
    Ours { settle: Option<&'static str> },
    Loop,
    Watchexec { is_default: bool },
}

impl Watcher {
    const fn name(self) -> &'static str {
        match self {
            Watcher::Ours { .. } => OURS,
            Watcher::Loop => "inotifywait",
            Watcher::Watchexec { .. } => "watchexec",
        }
    }

    const fn is_default(self) -> bool {
        matches!(self, Watcher::Ours { settle: None } | Watcher::Watchexec { is_default: true })
    }

    /// Starts it, so that it runs `handler` for each file of the folder.
    fn start(self, lab: &mut Lab, folder: &str, handler: &[String]) -> io::Result<()> {
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let argv = match self {
            Watcher::Ours { settle } => {
                let settle = settle.map(|settle| format!("settle: {settle}\n")).unwrap_or_default();
                let run: Vec<String> = handler.iter().map(|word| format!("{word:?}")).collect();
                let rule = "limit: { times: 100000, within: 1h }\nchanges: [create]\n";
                let run = run.join(", ");
                let text = format!("kind: Trigger\nname: w\nwatch: {folder}\n{settle}{rule}run: [{run}]\n");
                lab.write("manifests/w.yaml", &text, 0o644)?;
                let (binary, manifests) = (env!("CARGO_BIN_EXE_setpoint"), show(&lab.path("manifests")));
                words(&[binary, "--home", &show(&lab.path("home")), "controller", "run", "-f", &manifests])
            }
            Watcher::Loop => {
                let run = handler.join(" ");
                let line =
                    format!("{} -q -m -e create {folder} | while read -r l; do {run}; done", tool("inotifywait"));
                words(&["sh", "-c", &line])
            }
            Watcher::Watchexec { is_default } => {
                let mut argv = words(&[&tool("watchexec"), "-n", "--postpone", "-q", "--on-busy-update", "queue"]);
                if !is_default {
                    argv.extend(words(&["--debounce", "0ms"]));
                }
                argv.extend(words(&["--no-vcs-ignore", "--no-project-ignore", "-w", folder, "--"]));
                argv.into_iter().chain(handler.iter().cloned()).collect()
            }
        };
        // Unpacked beside its program.
        let site = std::env::var("SETPOINT_BENCH").unwrap_or_default();
        let libraries = format!("{site}/deb/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        lab.spawn(&argv, &[("LD_LIBRARY_PATH", libraries)]).map(|_| ())
    }
}

/// Measures the floor, and every watcher that is installed.
pub fn measure(order: &Order, table: &mut Table) {
    let bare = Lab::open(&order.site, "spawn").and_then(|mut lab| floor::spawns(&mut lab, order.pick(50, 10)));
    match bare {
        Ok(mut times) => percentile(&mut times, 50).into_iter().for_each(|p50| table.add(AT_ONCE, FLOOR, p50)),
        Err(error) => table.note(format!("row 10, floor: {error}")),
    }
    let ours = [Watcher::Ours { settle: Some("0s") }, Watcher::Ours { settle: None }];
    let peers = [Watcher::Loop, Watcher::Watchexec { is_default: false }, Watcher::Watchexec { is_default: true }];
    for watcher in peers.into_iter().chain(ours) {
        let name = watcher.name();
        if name != OURS && !is_installed(name) {
            table.note(format!("row 10: {name} is not installed"));
        } else if let Err(error) = one(order, table, watcher) {
            table.note(format!("row 10, {name}: {error}"));
        }
    }
}

fn one(order: &Order, table: &mut Table, watcher: Watcher) -> io::Result<()> {
    let mut lab = Lab::open(&order.site, "watch")?;
    let folder = lab.path("watched");
    std::fs::create_dir(&folder)?;
    std::fs::create_dir(lab.path("manifests"))?;
    let handler = lab.service("w", &["once"]);
    watcher.start(&mut lab, &show(&folder), &handler)?;
    settle(2.0);
    let (mut times, mut missed) = (Vec::new(), 0);
    for number in 0..order.pick(60, 10) {
        let since = lab.starts.len();
        let begun = nanos();
        drop(File::create(folder.join(format!("f{number}")))?);
        match lab.await_starts(&["w".to_owned()], since, PATIENCE) {
            Ok(at) => times.push(at.saturating_sub(begun) as f64 / 1e6),
            Err(_) => missed += 1,
        }
        // Whoever waits for quiet hears of the next file alone.
        settle(0.13);
        lab.listen(Duration::ZERO);
        lab.reap();
    }
    let (half, late) = if watcher.is_default() { (DEFAULT, None) } else { (AT_ONCE, Some(AT_ONCE_LATE)) };
    percentile(&mut times, 50).into_iter().for_each(|value| table.add(half, watcher.name(), value));
    if let Some(figure) = late {
        percentile(&mut times, 99).into_iter().for_each(|value| table.add(figure, watcher.name(), value));
    }
    table.add(MISSED, watcher.name(), f64::from(missed));
    Ok(())
}
