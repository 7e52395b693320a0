//! `setpoint top`: what instances use of the machine.
//!
//! In: names, or none for everything that runs. Out: one line per live instance, the busiest first.
//! Not here: what has ended. The surprise: memory is the sum over all processes of an instance with shared pages
//! divided among those who share them, so two workers of one program are not counted twice.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::facts::{self, Facts, age};
use super::{Failure, Format, Global, Outcome, exit};
use crate::controller::report::rfc3339;
use crate::engine::observed::Member;
use crate::engine::{InstanceId, ProcId, Timestamp};
use crate::observe::usage::{self, Usage};

/// How long processor time is measured before the first answer.
const SAMPLE: Duration = Duration::from_millis(500);

/// How often `-w` looks.
const WATCH: Duration = Duration::from_secs(2);

/// Show what instances use: processor, memory, processes
#[derive(Debug, clap::Args)]
pub struct Args {
    /// KIND, KIND/NAME, KIND NAME or a unique NAME; everything that runs when left out
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Go on, and look again every 2 seconds
    #[arg(short, long)]
    watch: bool,
}

/// What one instance uses at one moment.
#[derive(Clone, Debug)]
struct Sample {
    /// Its shim, or the process of somebody else that counts as it.
    head: ProcId,
    pid: u32,
    /// Of all its processes, and of those its shim has seen the end of.
    cpu: Duration,
    rss: u64,
    /// With RSS in its place for a process that does not let it be known.
    pss: u64,
    processes: usize,
    restarts: u32,
    since: Option<Timestamp>,
}

/// All instances at one moment.
struct Look {
    at: Instant,
    samples: BTreeMap<InstanceId, Sample>,
}

/// One line.
#[derive(Debug)]
struct Row {
    id: InstanceId,
    /// In per cent of one core; none for one that has just been replaced.
    cpu: Option<f64>,
    sample: Sample,
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist or the home cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let mut before = look(global, args)?;
    std::thread::sleep(SAMPLE);
    loop {
        let now = look(global, args)?;
        let rows = rows(&before, &now);
        let is_live = args.watch && global.output == Format::Table && std::io::stdout().is_terminal();
        // Home, and away with what stood there: one frame instead of an endless roll.
        let clear = if is_live { "\x1b[H\x1b[2J" } else { "" };
        super::print(&format!("{clear}{}", show(global, &rows)?))?;
        if !args.watch {
            return Ok(exit::OK);
        }
        before = now;
        std::thread::sleep(WATCH);
    }
}

fn look(global: &Global, args: &Args) -> Result<Look, Failure> {
    let (_, facts) = facts::read(global)?;
    let mut objects = facts.named(&args.objects)?;
    objects.retain(|object| facts.is_selected(object, &global.selector));
    let at = Instant::now();
    let decisions = objects.iter().flat_map(|object| facts.decisions(object));
    let samples = decisions.filter_map(|decision| Some((decision.id.clone(), sample(&facts, &decision.id)?)));
    Ok(Look { at, samples: samples.collect() })
}

fn sample(facts: &Facts, id: &InstanceId) -> Option<Sample> {
    let last = facts.backoff.0.get(id);
    let restarts = last.map_or(0, |last| last.number.saturating_sub(1));
    if let Some(Member { proc, .. }) = facts.adopted(id) {
        // Which other processes belong to it is known to who started it.
        let used = usage::of(proc.pid)?;
        return Some(Sample {
            head: proc.clone(),
            pid: proc.pid,
            cpu: used.cpu.saturating_add(used.cpu_reaped),
            rss: used.rss,
            pss: used.pss.unwrap_or(used.rss),
            processes: 1,
            restarts,
            since: facts.since(id),
        });
    }
    let alive = facts.alive(id)?;
    let used: Vec<Usage> = alive.tree.iter().filter_map(|member| usage::of(member.proc.pid)).collect();
    // What ended below the shim without a parent of its own is counted there.
    let reaped = usage::of(alive.shim.pid).map_or(Duration::ZERO, |shim| shim.cpu_reaped);
    Some(Sample {
        head: alive.shim.clone(),
        pid: alive.payload,
        cpu: used.iter().map(|usage| usage.cpu.saturating_add(usage.cpu_reaped)).sum::<Duration>() + reaped,
        rss: used.iter().map(|usage| usage.rss).sum(),
        pss: used.iter().map(|usage| usage.pss.unwrap_or(usage.rss)).sum(),
        processes: used.len(),
        restarts,
        since: last.map(|last| last.started_wall),
    })
}

fn rows(before: &Look, now: &Look) -> Vec<Row> {
    let passed = now.at.duration_since(before.at).as_secs_f64();
    let cpu = |id: &InstanceId, sample: &Sample| {
        let old = before.samples.get(id).filter(|old| old.head == sample.head)?;
        let used = sample.cpu.saturating_sub(old.cpu).as_secs_f64();
        (passed > 0.0).then(|| (used / passed * 1000.0).round() / 10.0)
    };
    let row =
        |(id, sample): (&InstanceId, &Sample)| Row { id: id.clone(), cpu: cpu(id, sample), sample: sample.clone() };
    let mut rows: Vec<Row> = now.samples.iter().map(row).collect();
    let rank = |row: &Row| (row.cpu.unwrap_or(0.0), row.sample.pss);
    rows.sort_by(|a, b| {
        let (a_cpu, a_memory) = rank(a);
        let (b_cpu, b_memory) = rank(b);
        b_cpu.total_cmp(&a_cpu).then(b_memory.cmp(&a_memory)).then_with(|| a.id.cmp(&b.id))
    });
    rows
}

fn show(global: &Global, rows: &[Row]) -> Result<String, Failure> {
    let items = || json!({ "items": rows.iter().map(to_json).collect::<Vec<_>>() });
    Ok(match global.output {
        Format::Table => table(rows, false),
        Format::Wide => table(rows, true),
        Format::Json => format!("{:#}\n", items()),
        Format::Yaml => {
            serde_yaml::to_string(&items()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?
        }
        Format::Name => rows.iter().map(|row| format!("{}\n", row.id)).collect(),
    })
}

fn to_json(row: &Row) -> Value {
    let Sample { pid, rss, pss, processes, restarts, since, .. } = &row.sample;
    json!({
        "name": row.id.to_string(),
        "cpuPercent": row.cpu,
        "rssBytes": rss,
        "pssBytes": pss,
        "processes": processes,
        "restarts": restarts,
        "since": since.map(rfc3339),
        "pid": Some(*pid).filter(|pid| *pid > 0),
    })
}

fn table(rows: &[Row], is_wide: bool) -> String {
    if rows.is_empty() {
        return "Nothing of it runs.\n".to_owned();
    }
    let mut table = Table::new();
    let mut header = vec!["NAME", "CPU", "MEMORY", "PROCESSES", "RESTARTS", "AGE", "PID"];
    header.extend(is_wide.then_some("RSS"));
    table.load_preset(NOTHING).set_header(header);
    for row in rows {
        let Sample { pid, rss, pss, processes, restarts, since, .. } = &row.sample;
        let mut cells = vec![
            row.id.to_string(),
            row.cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}%")),
            bytes(*pss),
            processes.to_string(),
            restarts.to_string(),
            since.map_or_else(|| "-".to_owned(), age),
            if *pid > 0 { pid.to_string() } else { "-".to_owned() },
        ];
        cells.extend(is_wide.then(|| bytes(*rss)));
        table.add_row(cells);
    }
    for number in [1, 2, 3, 4, 7] {
        _ = table.column_mut(number).map(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    super::get::trimmed(&table)
}

/// A number of bytes with three digits or so: `812Ki`, `12.3Mi`.
pub(super) fn bytes(count: u64) -> String {
    let mut rest = count as f64;
    for unit in ["", "Ki", "Mi", "Gi"] {
        if rest < 1000.0 {
            return if unit.is_empty() || rest >= 100.0 {
                format!("{rest:.0}{unit}")
            } else {
                format!("{rest:.1}{unit}")
            };
        }
        rest /= 1024.0;
    }
    format!("{rest:.1}Ti")
}
