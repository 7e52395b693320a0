//! The one table: a line per figure, a column per peer, ratios, the bar and whether it is met.
//!
//! In: figures as they are measured. Out: markdown. Not here: measuring.
//! The surprise: only ratios within one run count, so a line compares what was measured within minutes on one machine
//! and says nothing about another.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What setpoint must reach, relative to what was measured beside it.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    /// At most this many times the floor.
    Floor(f64),
    /// At most this many times the named peer, and this many times the floor.
    PeerAndFloor(&'static str, f64, f64),
    /// At most this many times the named peer.
    Peer(&'static str, f64),
    /// At most this.
    Most(f64),
    /// At least this.
    Least(f64),
    /// Nothing is asked; for comparison only.
    None,
}

/// Which figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The row of the benchmark table, 1 to 12.
    pub row: u8,
    /// What is measured, unit included.
    pub what: &'static str,
    /// What setpoint must reach.
    pub bar: Bar,
    /// Less is better, unless this is set.
    pub more_is_better: bool,
}

impl Figure {
    /// A figure of which less is better.
    pub const fn new(row: u8, what: &'static str, bar: Bar) -> Figure {
        Figure { row, what, bar, more_is_better: false }
    }

    /// A figure of which more is better.
    pub const fn more(row: u8, what: &'static str, bar: Bar) -> Figure {
        Figure { row, what, bar, more_is_better: true }
    }
}

/// The name of the column of bare system calls.
pub const FLOOR: &str = "floor";
/// The name of our own column.
pub const OURS: &str = "setpoint";
const COLUMNS: [&str; 7] = [FLOOR, "supervisord", "runit", "s6", "inotifywait", "watchexec", OURS];

/// All figures so far.
#[derive(Default)]
pub struct Table {
    lines: Vec<(Figure, BTreeMap<&'static str, f64>)>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

impl Table {
    /// Adds a value; the latest of a peer counts.
    pub fn add(&mut self, figure: Figure, peer: &'static str, value: f64) {
        eprintln!("  {:>2}  {peer:<12} {}: {}", figure.row, figure.what, number(value));
        let known = self.lines.iter().position(|(f, _)| f.row == figure.row && f.what == figure.what);
        let at = known.unwrap_or_else(|| {
            self.lines.push((figure, BTreeMap::new()));
            self.lines.len() - 1
        });
        self.lines[at].1.insert(peer, value);
    }

    /// Notes that something could not be measured.
    pub fn note(&mut self, text: String) {
        eprintln!("  note: {text}");
        self.notes.push(text);
    }

    /// The table in markdown.
    pub fn print(&mut self) -> String {
        self.lines.sort_by_key(|(figure, _)| figure.row);
        let mut text = String::from("| # | figure |");
        // Who was not measured has no column.
        let is_there = |column: &&&str| self.lines.iter().any(|(_, values)| values.contains_key(**column));
        let columns: Vec<&str> = COLUMNS.iter().filter(is_there).copied().collect();
        for column in &columns {
            let _ = write!(text, " {column} |");
        }
        text.push_str(" ÷ floor | ÷ best peer | bar | met |\n|---|---|");
        text.push_str(&"---:|".repeat(columns.len() + 2));
        text.push_str("---|---|\n");
        for (figure, values) in &self.lines {
            let _ = write!(text, "| {} | {} |", figure.row, figure.what);
            for column in &columns {
                let _ = write!(text, " {} |", values.get(*column).map_or_else(|| "-".to_owned(), |v| number(*v)));
            }
            let ours = values.get(OURS).copied();
            let ratio = |to: Option<f64>| match (ours, to) {
                (Some(ours), Some(to)) if to > 0.0 => format!("{:.2}", ours / to),
                _ => "-".to_owned(),
            };
            let (bar, met) = judge(figure, values);
            let best = ratio(best_peer(figure, values));
            let _ = writeln!(text, " {} | {best} | {bar} | {met} |", ratio(values.get(FLOOR).copied()));
        }
        for note in &self.notes {
            let _ = writeln!(text, "\nNot measured: {note}");
        }
        text
    }
}

fn best_peer(figure: &Figure, values: &BTreeMap<&'static str, f64>) -> Option<f64> {
    let peers = values.iter().filter(|(name, _)| **name != FLOOR && **name != OURS).map(|(_, value)| *value);
    if figure.more_is_better { peers.reduce(f64::max) } else { peers.reduce(f64::min) }
}

fn judge(figure: &Figure, values: &BTreeMap<&'static str, f64>) -> (String, String) {
    let times = |name: &str, factor: f64| values.get(name).map(|value| value * factor);
    let (words, limits) = match figure.bar {
        Bar::Floor(factor) => (format!("≤ {factor} × floor"), vec![times(FLOOR, factor)]),
        Bar::Peer(peer, factor) => (format!("≤ {factor} × {peer}"), vec![times(peer, factor)]),
        Bar::PeerAndFloor(peer, of_peer, of_floor) => {
            let words = format!("≤ {of_floor} × floor, ≤ {of_peer} × {peer}");
            (words, vec![times(peer, of_peer), times(FLOOR, of_floor)])
        }
        Bar::Most(limit) => (format!("≤ {limit}"), vec![Some(limit)]),
        Bar::Least(limit) => (format!("≥ {limit}"), vec![Some(limit)]),
        Bar::None => return ("-".to_owned(), "-".to_owned()),
    };
    let Some(ours) = values.get(OURS) else {
        return (words, "-".to_owned());
    };
    let is_least = matches!(figure.bar, Bar::Least(_));
    let keeps = |limit: f64| if is_least { *ours >= limit } else { *ours <= limit };
    // A bar whose measure is missing in this run is not met, and not missed either.
    let Some(limits) = limits.into_iter().collect::<Option<Vec<f64>>>() else {
        return (words, "?".to_owned());
    };
    let met = if limits.into_iter().all(keeps) { "yes" } else { "NO" };
    (words, met.to_owned())
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value below which `percent` of the sorted values lie.
pub fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get((values.len() * percent / 100).min(last)).copied()
}
