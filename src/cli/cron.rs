//! `setpoint cron`: what a schedule means, and when it is due next.
//!
//! In: an expression, a zone, a moment, maybe a name with its jitter. Out: words, due times and starts, what clocks do to
//! them. Not here: any rule about time (`engine::schedule`).
//! The surprise: it shows two times for each run, since the name of a run is its due time and jitter moves its start.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Failure, Format, Global, Outcome, exit};
use crate::desired::Store;
use crate::desired::parsed::to_engine;
use crate::engine::Timestamp;
use crate::engine::run::order;
use crate::engine::schedule::{ExprError, JITTER_MAX, Pace, Schedule, Zone, jitter_offset};
use crate::engine::time::Span;
use crate::home::Home;
use crate::kind::units;
use crate::observe::{Zones, clock, machine, zones};

/// Longer schedules are not shown with their error.
const SHOWN_MAX: usize = 160;

/// Show what a schedule means and when it is due; needs nothing running
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Five fields in quotes ('0 3 * * 1-5'), or one of @hourly @daily @weekly @monthly @yearly @reboot
    #[arg(value_name = "EXPR", required = true)]
    pub expr: Vec<String>,
    /// The zone whose clocks it follows, such as Europe/Berlin [default: that of the settings, else the machine's]
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Due times after this moment, such as 2026-11-21T03:00:00Z, or by the clocks of the zone without Z [default: now]
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<String>,
    /// How many due times
    #[arg(short = 'n', value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// The object whose starts to show: jitter is a hash of its name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How far starts may be moved, such as 90s
    #[arg(long, value_name = "DURATION")]
    pub jitter: Option<String>,
}

/// Shows.
///
/// # Errors
/// When the schedule, the zone, the moment or the jitter cannot be read.
pub fn run(global: &Global, args: Args) -> Outcome {
    let (shown, origin) = shown(global, &args)?;
    match global.output {
        Format::Json => super::print(&format!("{:#}\n", shown.json()))?,
        Format::Yaml => {
            let text = serde_yaml::to_string(&shown.json());
            super::print(&text.map_err(|error| Failure::new(exit::FAILED, error.to_string()))?)?;
        }
        Format::Table | Format::Wide | Format::Name => {
            shown.warnings.iter().for_each(|warning| super::say(global, &format!("warning: {warning}")));
            super::print(&shown.text(&origin))?;
        }
    }
    Ok(exit::OK)
}

/// The same, for programs.
///
/// # Errors
/// As [`run`].
pub fn describe(global: &Global, args: &Args) -> Result<Value, Failure> {
    shown(global, args).map(|(shown, _)| shown.json())
}

/// All that is shown, and whose clocks and data it follows.
fn shown(global: &Global, args: &Args) -> Result<(Shown, String), Failure> {
    let schedule = read(&args.expr)?;
    let (mut zones, said) = (Zones::new(), Said::of(global));
    let (zone, origin) = zone(&mut zones, args.tz.as_deref(), &said)?;
    let from = match args.from.as_deref() {
        None | Some("now") => clock::wall(),
        Some(text) => moment(text, &zone)?,
    };
    let jitter = args.jitter.as_deref().map(jitter).transpose()?;
    let offset = |name: &str| jitter_offset(&said.seed, name, jitter.unwrap_or_default());
    let moved = args.name.as_ref().filter(|_| jitter.is_some()).map(|name| (name.clone(), offset(name)));
    let shown = Shown::of(schedule, zone, from, (jitter, moved), args.count);
    Ok((shown, format!("{origin}; {}", zones.data())))
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(exit::USAGE, text)
}

/// The schedule, with a caret below what is wrong with it.
fn read(words: &[String]) -> Result<Schedule, Failure> {
    let text = words.join(" ");
    let error = match Schedule::parse(&text) {
        Ok(schedule) => return Ok(schedule),
        Err(error) => error,
    };
    if words.len() > 1 {
        return Err(usage(
            "the schedule is more than one word: the shell has divided it, and put names of files for stars\n  \
             help: write it in quotes: setpoint cron '0 3 * * 1-5'",
        ));
    }
    Err(usage(pointed(&text, &error)))
}

/// The error with the text and a caret between what is wrong and what to write.
fn pointed(text: &str, error: &ExprError) -> String {
    let told = error.to_string();
    let count = text.chars().count();
    if count == 0 || count > SHOWN_MAX {
        return told;
    }
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let width = match error.field {
        // The whole is wrong; its beginning is enough.
        "schedule" if error.item.contains(' ') => 1,
        _ => error.item.chars().count().clamp(1, count),
    };
    let caret = format!("{}{}", " ".repeat(error.column.saturating_sub(1)), "^".repeat(width));
    match told.split_once('\n') {
        Some((what, help)) => format!("{what}\n    {plain}\n    {caret}\n{help}"),
        None => told,
    }
}

/// What a home says about schedules; where there is none, what the machine does.
struct Said {
    /// The zone of the settings.
    zone: Option<Arc<str>>,
    /// What offsets are made of.
    seed: String,
}

impl Said {
    /// As a controller of this home has it. A home that cannot be read says nothing.
    fn of(global: &Global) -> Said {
        let home = Home::open_existing(global.home.as_deref()).ok().flatten();
        let desired = |home: &Home| Some(to_engine(&Store::open(home).read_current().ok()?, home.key()));
        let settings = home.as_ref().and_then(desired).and_then(|desired| order::settings(&desired).cloned());
        let settings = settings.unwrap_or_default();
        let of_machine = || machine::id().or_else(|| home.as_ref().map(|home| home.id().to_owned()));
        let seed = settings.jitter_seed.map(|seed| seed.to_string()).or_else(of_machine);
        Said { zone: settings.zone, seed: seed.unwrap_or_default() }
    }
}

/// The zone of schedules that name none: that of the settings, else the machine's.
#[must_use]
pub fn default_zone(global: &Global) -> String {
    Said::of(global).zone.map_or_else(|| zones::local().name, |name| name.to_string())
}

/// The zone, and what says that it is this one.
fn zone(zones: &mut Zones, named: Option<&str>, said: &Said) -> Result<(Zone, String), Failure> {
    let local = zones::local();
    let (name, origin) = match (named, said.zone.as_deref(), local.said_by) {
        (Some(name), _, _) => (name, name.to_owned()),
        (None, Some(name), _) => (name, format!("{name}, the zone of the settings")),
        (None, None, "nothing") => {
            (local.name.as_str(), format!("{}, since nothing names the zone of this machine", local.name))
        }
        (None, None, by) => (local.name.as_str(), format!("{}, the zone of this machine by {by}", local.name)),
    };
    let zone = zones.get(name).map_err(|error| usage(format!("the zone {error}")))?;
    Ok((zone, origin))
}

/// A moment with an offset, or what the clocks of the zone show.
fn moment(text: &str, zone: &Zone) -> Result<Timestamp, Failure> {
    let wrong = |what: &str| {
        let shown: String = super::plain(text).chars().take(SHOWN_MAX).collect();
        let help = "write it as 2026-11-21T03:00:00Z, 2026-11-21T03:00:00+01:00 or 2026-11-21T03:00";
        usage(format!("--from `{shown}` {what}\n  help: {help}"))
    };
    let outside = || wrong("lies outside the years 1970 to 2554");
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(moment.as_nanosecond()).map(Timestamp::from_nanos).map_err(|_| outside());
    }
    let shown: jiff::civil::DateTime = text.parse().map_err(|_| wrong("is no moment"))?;
    zone.moment(shown).ok_or_else(outside)
}

fn jitter(text: &str) -> Result<Duration, Failure> {
    let read = text.parse::<units::Duration>().map(|duration| duration.0);
    read.map_err(|wrong| usage(format!("--jitter `{}` {}\n  help: {}", super::plain(text), wrong.what, wrong.help)))
}

/// A span in the units people count in: `23h 30m`.
fn long(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// By how much starts are moved, and for whom.
type Moved = Option<(String, Duration)>;

/// All that is shown.
struct Shown {
    schedule: Schedule,
    zone: Zone,
    /// Due times and starts.
    times: Vec<(Timestamp, Timestamp)>,
    pace: Option<Pace>,
    moved: Moved,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl Shown {
    fn of(
        schedule: Schedule,
        zone: Zone,
        from: Timestamp,
        (jitter, moved): (Option<Duration>, Moved),
        n: u16,
    ) -> Shown {
        let end = Timestamp::from_nanos(u64::MAX);
        let by = moved.as_ref().map_or(Duration::ZERO, |(_, by)| *by);
        let start = |due: Timestamp| {
            let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
            (due, Timestamp::from_nanos(due.nanos().saturating_add(nanos)))
        };
        let times = schedule.ticks(from, end, from, &zone).take(n.into()).map(start).collect();
        let pace = schedule.pace(from, from, &zone);
        let mut warnings: Vec<String> = schedule.warnings(from, &zone).iter().map(ToString::to_string).collect();
        let advised = pace.map_or(JITTER_MAX, |pace| pace.jitter_max);
        warnings.extend(jitter.filter(|jitter| *jitter > advised).map(|jitter| {
            format!("a jitter of {} is more than is advised for this schedule: {}", Span(jitter), Span(advised))
        }));
        warnings.extend(jitter.filter(|_| moved.is_none()).map(|jitter| {
            format!(
                "each start is up to {} later than shown; --name NAME says by how much for that object",
                Span(jitter)
            )
        }));
        let notes = schedule.clock_notes(from, &zone);
        Shown { schedule, zone, times, pace, moved, warnings, notes }
    }

    fn json(&self) -> Value {
        let text = |at: &Timestamp| self.zone.rfc3339(*at);
        json!({
            "next": self.times.iter().map(|(due, _)| text(due)).collect::<Vec<_>>(),
            "effective": self.times.iter().map(|(_, start)| text(start)).collect::<Vec<_>>(),
            "words": self.schedule.words(),
            "warnings": self.warnings,
            "interval_seconds": self.pace.map(|pace| pace.interval.as_secs()),
            "max_jitter_seconds": self.pace.map(|pace| pace.jitter_max.as_secs()),
        })
    }

    /// For people; `origin` says which zone it is, and of which data.
    fn text(&self, origin: &str) -> String {
        let mut text = self.schedule.words() + "\n";
        if self.times.is_empty() {
            text += "no moment of its own: it starts once when a controller first runs after a boot\n";
            return text;
        }
        text += match self.moved {
            Some(_) => "\ndue                             starts\n",
            None => "\ndue\n",
        };
        for (due, start) in &self.times {
            let line = match self.moved {
                Some(_) => format!("{}  {}", self.shown(*due), self.shown(*start)),
                None => self.shown(*due),
            };
            text += &line;
            text.push('\n');
        }
        text.push('\n');
        let mut fact = |name: &str, what: &str| {
            // Writing into text cannot fail.
            _ = writeln!(text, "{name:<9} {what}");
        };
        if let Some(pace) = self.pace {
            fact("interval", &format!("{} at the shortest", long(pace.interval)));
        }
        match (&self.moved, self.pace) {
            (Some((name, by)), _) => {
                fact("jitter", &format!("{} for {} on this machine", Span(*by), super::plain(name)))
            }
            (None, Some(pace)) if pace.jitter_max.is_zero() => fact("jitter", "none is advised"),
            (None, Some(pace)) => fact("jitter", &format!("up to {} is advised", Span(pace.jitter_max))),
            (None, None) => {}
        }
        fact("zone", origin);
        self.notes.iter().for_each(|note| fact("clocks", note));
        text
    }

    /// `Mon 2026-11-23 03:00:00 +01:00`.
    fn shown(&self, at: Timestamp) -> String {
        let day = self.zone.wall(at).strftime("%a").to_string();
        let text = self.zone.rfc3339(at);
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        let (time, offset) = time.split_at(time.len().min(8));
        format!("{day} {date} {time} {offset}")
    }
}
