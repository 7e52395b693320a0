//! Single decisions about work that ends: facts in, plan text out. Each name is a sentence of the rule it proves.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::json;
use setpoint::engine::audit::audit;
use setpoint::engine::backoff::{Attempt, End, Exit, Streak};
use setpoint::engine::desired::Pause;
use setpoint::engine::expand::{Need, Until};
use setpoint::engine::observed::{Alive, Phase};
use setpoint::engine::plan::{ACTIONS_MAX, Policy, Tick};
use setpoint::engine::run::pressure::{Figures, Pressure};
use setpoint::engine::run::{
    Arises, At, Book, Condition, Cursor, Final, Flow, FlowStep, Missed, OnQuiet, Origin, Outcome, Output, Overlap,
    Params, QuietRule, Retry, Risk, Run, RunRule, Settings, Step, TimesRule, Work, ticks,
};
use setpoint::engine::schedule::{Schedule, Window};
use setpoint::engine::{
    Action, Backoff, BootId, BootTime, Cause, Facts, InstanceId, Mutant, Now, ObjectRef, Observed, Plan, ProcId,
    Reason, Revision, Sight, Sighting, Timestamp, reconcile,
};

use super::kind::{self, Ends, Own};
use super::people::{self, People};

/// 2026-11-21T00:00:00Z.
const DAY: u64 = 1_795_219_200;
/// How long the machine has been up at midnight.
const UP: u64 = 100_000;

/// The facts of one pass on one day. Objects are those of a life: `cronjob/a`, `job/j`, `workflow/w`.
struct Table {
    people: People,
    observed: Observed,
    records: BTreeMap<InstanceId, Attempt>,
    now: Now,
}

/// Seconds of the day from `10:00` or `10:00:05`.
fn seconds(time: &str) -> u64 {
    time.split(':').zip([3600, 60, 1]).map(|(part, unit)| part.parse::<u64>().expect("a number") * unit).sum()
}

fn wall(time: &str) -> Timestamp {
    Timestamp::from_nanos((DAY + seconds(time)) * 1_000_000_000)
}

fn boot(time: &str) -> BootTime {
    BootTime::from_nanos((UP + seconds(time)) * 1_000_000_000)
}

fn this_boot() -> BootId {
    BootId::new("aaaaaaaa-0000-4000-8000-000000000000")
}

fn times(text: &str) -> TimesRule {
    TimesRule {
        schedule: Arc::new(Schedule::parse(text).expect("a good text")),
        zone: None,
        jitter: Duration::ZERO,
        missed: Missed::Once,
        missed_within: Duration::from_secs(3600),
        quiet: Vec::new(),
        on_quiet: OnQuiet::Skip,
        is_once: false,
        is_enabled: true,
    }
}

fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A period of so many seconds, counted from midnight.
fn every(seconds: u64) -> TimesRule {
    TimesRule { schedule: Arc::new(Schedule::every(secs(seconds))), ..times("0 0 1 1 *") }
}

/// Everything that was missed is made up for.
fn all(text: &str) -> RunRule {
    cron(TimesRule { missed: Missed::All, ..times(text) })
}

fn cron(rule: TimesRule) -> RunRule {
    kind::plain(kind::command(), Arises::Times(rule))
}

fn job() -> RunRule {
    kind::plain(kind::command(), Arises::Once { at: None })
}

fn ends(rule: RunRule) -> Ends {
    Ends { rule: Some(rule), own: Own::Nothing, needs: Vec::new() }
}

fn step(id: &str, needs: &[&str]) -> FlowStep {
    FlowStep {
        id: id.into(),
        work: kind::command(),
        needs: needs.iter().map(|need| (*need).into()).collect(),
        when: None,
        retry: Retry::NONE,
        timeout: None,
        asks_first: false,
    }
}

impl Table {
    fn at(time: &str) -> Table {
        Table {
            people: People::default(),
            observed: Observed::empty(),
            records: BTreeMap::new(),
            now: Now { wall: wall(time), boot: boot(time), boot_id: this_boot() },
        }
    }

    fn put(mut self, object: &str, ends: Ends) -> Table {
        self.people.put(kind::index(&name(object)), ends);
        self
    }

    fn cron(self, rule: RunRule) -> Table {
        self.put("cronjob/a", ends(rule))
    }

    fn flow(self, steps: Vec<FlowStep>) -> Table {
        let flow = Arc::new(Flow { params: Params::none(), steps, timeout: None });
        let rule = kind::plain(Work::Flow(flow.clone()), Arises::Asked);
        self.put("workflow/w", Ends { rule: Some(rule), own: Own::Workflow(flow), needs: Vec::new() })
    }

    fn quiet(self, from: &str, to: &str) -> Table {
        let minute = |time: &str| u16::try_from(seconds(time) / 60).expect("a minute");
        let windows = vec![Window { days: 0x7f, from: minute(from), to: minute(to) }];
        self.put("quiethours/q", Ends { rule: None, own: Own::Quiet(QuietRule { windows, zone: None }), needs: vec![] })
    }

    /// At most so many runs at once, and a load of 8 at most.
    fn limits(self, max_runs: Option<u32>) -> Table {
        let gates = Figures { load: Some(800), ..Figures::default() };
        let settings = Settings { max_runs, gates, ..Settings::default() };
        self.put("settings/main", Ends { rule: None, own: Own::Settings(settings), needs: Vec::new() })
    }

    /// The load was 12.3 when it was asked last.
    fn pressed(mut self, time: &str) -> Table {
        let figures = Figures { load: Some(1230), ..Figures::default() };
        self.observed.pressure = Some(Pressure { at: boot(time), figures });
        self
    }

    fn uid(&self, object: &str) -> Arc<str> {
        self.people.objects[kind::index(&name(object))].as_ref().expect("it is wanted").uid.clone()
    }

    fn book(&mut self, object: &str) -> &mut Book {
        self.observed.ledger.books.entry(name(object)).or_default()
    }

    /// The schedule of `cronjob/a` is known since midnight, and settled up to here.
    fn settled(mut self, time: &str) -> Table {
        let desired = self.people.read();
        let key = people::times(&desired)[&name("cronjob/a")].key.clone();
        let uid = self.uid("cronjob/a");
        self.book("cronjob/a").cursor = Some(Cursor {
            uid,
            key,
            since: wall("00:00"),
            at: wall(time),
            set_wall: wall(time),
            set_boot: boot(time),
            boot_id: this_boot(),
        });
        self
    }

    /// The wall clock was set ahead since the cursor was written, or back.
    fn clock_set(mut self, ahead: bool, by: &str) -> Table {
        let by = Duration::from_secs(seconds(by));
        let cursor = self.book("cronjob/a").cursor.as_mut().expect("it is settled");
        cursor.set_wall = if ahead { cursor.set_wall.before(by) } else { cursor.set_wall.after(by) };
        self
    }

    /// When the cursor was written: what was due by then was found at that look.
    fn looked(mut self, time: &str) -> Table {
        let cursor = self.book("cronjob/a").cursor.as_mut().expect("it is settled");
        (cursor.set_wall, cursor.set_boot) = (wall(time), boot(time));
        self
    }

    /// A run of a due time of `cronjob/a` that is made up for in its turn.
    fn made_up(self, due: &str, created: &str) -> Table {
        let cause = Cause::tick(wall(due)).to_string();
        self.run("cronjob/a", &cause, created).change("cronjob/a", &cause, |run| {
            (run.origin, run.catches_up) = (Origin::Tick(wall(due)), true);
        })
    }

    /// A run that is not over.
    fn run(mut self, object: &str, cause: &str, created: &str) -> Table {
        let origin = match object {
            "job/j" => Origin::Generation(1),
            "workflow/w" => Origin::Person("ann".into()),
            _ => Origin::Tick(wall(created)),
        };
        let run = Run {
            uid: self.uid(object),
            origin,
            due: wall(created),
            created: wall(created),
            catches_up: false,
            forgiven: 0,
            cancel: None,
            params: Arc::new(json!({})),
            steps: BTreeMap::new(),
            reopened: BTreeMap::new(),
        };
        self.book(object).runs.insert(cause.parse().expect("a cause"), run);
        self
    }

    fn change(mut self, object: &str, cause: &str, change: impl FnOnce(&mut Run)) -> Table {
        let cause: Cause = cause.parse().expect("a cause");
        change(self.book(object).runs.get_mut(&cause).expect("it is open"));
        self
    }

    fn step(self, id: &str, outcome: Outcome) -> Table {
        let over = Step { outcome, output: Output::Whole(Arc::new(json!({ "n": 1 }))) };
        self.change("workflow/w", "r", |run| _ = run.steps.insert(id.into(), over))
    }

    fn last(mut self, object: &str, cause: &str, outcome: Outcome) -> Table {
        let uid = self.uid(object);
        let last = Final { uid, outcome, reason: "as it was".into(), ended: wall("01:00"), attempts: 1 };
        self.book(object).last.insert(cause.parse().expect("a cause"), last);
        self
    }

    fn sees(mut self, instance: &str, since: &str) -> Table {
        let alive = Alive {
            attempt: 1,
            revision: Revision { version: 1, hash: "r".into() },
            shim: ProcId { boot: this_boot(), pid: 100, started: 1 },
            payload: 101,
            since: boot(since),
            phase: Phase::Running,
            is_told: true,
            tree: [].into(),
        };
        let sighting = Sighting { policy: Some(Policy::DEFAULT), ..Sighting::of(Sight::Seen(alive)) };
        self.observed.sightings.insert(instance.parse().expect("an instance"), sighting);
        self.record(instance, 1, since, None)
    }

    fn record(mut self, instance: &str, number: u32, started: &str, end: Option<(Exit, &str, bool)>) -> Table {
        let attempt = Attempt {
            number,
            uid: "u1".into(),
            revision: Revision { version: 1, hash: "r".into() },
            shim: ProcId { boot: this_boot(), pid: 100, started: 1 },
            payload: 101,
            boot_id: this_boot(),
            started: boot(started),
            started_wall: wall(started),
            streak: Streak { deaths: number - 1, ..Streak::default() },
            end: end.map_or(End::Open, |(exit, at, asked)| End::Ended { exit, at: boot(at), asked }),
        };
        self.records.insert(instance.parse().expect("an instance"), attempt);
        self
    }

    fn people(mut self, say: impl FnOnce(&mut People)) -> Table {
        say(&mut self.people);
        self
    }

    fn book_with(mut self, object: &str, change: impl FnOnce(&mut Book)) -> Table {
        change(self.book(object));
        self
    }
}

fn name(object: &str) -> ObjectRef {
    object.parse().expect("an object")
}

/// Works out what a controller works out, and compares the plan.
fn check(table: Table, plan: Expect) {
    plan.assert_eq(&plan_of(table));
}

fn plan_of(table: Table) -> String {
    text(&made(table))
}

fn made(mut table: Table) -> Plan {
    let mut desired = table.people.read();
    if table.people.is_draining {
        people::drain(&mut desired);
    }
    for (object, times) in people::times(&desired) {
        let book = table.observed.ledger.books.entry(object).or_default();
        book.next = book.cursor.as_ref().and_then(|cursor| ticks::next(&times, cursor));
        book.times = Some(Ok(times));
    }
    let backoff = Backoff(table.records);
    let made = reconcile(&desired, &table.observed, &backoff, &table.now);
    let facts = Facts {
        desired: &desired,
        observed: &table.observed,
        backoff: &backoff,
        now: &table.now,
        mutant: Mutant::None,
    };
    assert_eq!(audit(&made, &facts), [], "the audit finds nothing in {}", text(&made));
    made
}

fn clock(at: Timestamp) -> String {
    setpoint::engine::time::utc(at).trim_start_matches("2026-11-21T").trim_end_matches('Z').to_owned()
}

fn rows(ticks: &[Tick]) -> String {
    let row = |tick: &Tick| {
        let to = tick.to.map(|to| format!("..{}", clock(to))).unwrap_or_default();
        format!("{} {}{to} x{}", tick.state.word(), clock(tick.nominal), tick.count)
    };
    ticks.iter().map(row).collect::<Vec<_>>().join(", ")
}

/// What a run passes, and why.
fn passed(ticks: &[Tick]) -> String {
    let why = ticks.last().map(|tick| format!(": {}", tick.why)).unwrap_or_default();
    if ticks.is_empty() { String::new() } else { format!(" past [{}{why}]", rows(ticks)) }
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for decision in &plan.decisions {
        let verb = match &decision.action {
            None => "wait".to_owned(),
            Some(Action::Fire(fire)) => {
                let state = fire.tick.as_ref().map_or("", |tick| tick.state.word());
                let turn = if fire.run.catches_up { " in its turn" } else { "" };
                format!("fire {state} due {}{turn}{}", clock(fire.run.due), passed(&fire.passed))
            }
            Some(Action::Note(note)) => {
                format!("note [{}] up to {}", rows(&note.ticks), clock(note.cursor.at))
            }
            Some(Action::Finish(finish)) => format!("finish {}", finish.outcome.word()),
            Some(Action::Spawn(spawn)) => format!("spawn #{}", spawn.attempt),
            Some(Action::Stop { .. }) => "stop".to_owned(),
            Some(Action::RecordLost { attempt }) => format!("record loss of #{attempt}"),
            Some(Action::Claim(claim)) => format!("claim {}", claim.count),
            Some(Action::Return(back)) => format!("return after try {} until {}", back.tries, clock(back.due)),
            Some(Action::EndTree { .. } | Action::Adopt { .. } | Action::SetPolicy { .. }) => "other".to_owned(),
        };
        let _ = writeln!(text, "{verb} {}: {} [{}]", decision.id, decision.because, decision.state());
    }
    if let Some(at) = plan.wake_at {
        let at = Timestamp::from_nanos(DAY * 1_000_000_000 + at.nanos() - UP * 1_000_000_000);
        let _ = writeln!(text, "look again at {}", clock(at));
    }
    if let Some(at) = plan.wake_wall {
        let _ = writeln!(text, "look again when the clock shows {}", clock(at));
    }
    text
}

const TEN: &str = "cronjob/a/2026-11-21T10:00:00Z";

fn asked(step: FlowStep) -> FlowStep {
    let Work::Command(launch) = kind::command() else { return step };
    FlowStep { when: Some(Condition::Command(launch)), ..step }
}

fn with_trouble(mut table: Table) -> Table {
    table.observed.ledger.trouble = Some("no space left on device".into());
    table
}

/// `job/k`, which is owed, needs `job/j`.
fn needs(until: Until) -> Table {
    let need = Need { object: name("job/j"), until };
    let table = Table::at("10:00").put("job/j", ends(job())).put("job/k", Ends { needs: vec![need], ..ends(job()) });
    table.run("job/k", "1", "09:00").change("job/k", "1", |run| run.origin = Origin::Generation(1))
}

#[test]
fn a_new_schedule_starts_its_cursor_now() {
    check(
        Table::at("10:00:30").cron(cron(times("0 * * * *"))),
        expect![[r#"
        note [] up to 10:00:30 cronjob/a/schedule: its schedule is new, so its due times count from now on [Scheduled]
    "#]],
    );
}

#[test]
fn a_due_time_fires_with_the_place_of_its_schedule() {
    check(
        Table::at("10:00:00").cron(cron(times("0 * * * *"))).settled("09:00"),
        expect![[r#"
        fire Fired due 10:00:00 cronjob/a/2026-11-21T10:00:00Z: its time has come [Starting]
    "#]],
    );
}

#[test]
fn until_then_it_says_when_and_is_woken() {
    check(
        Table::at("09:30").cron(cron(times("0 * * * *"))).settled("09:00"),
        expect![[r#"
        wait cronjob/a/schedule: its next due time is 2026-11-21T10:00:00Z [Scheduled]
        look again when the clock shows 10:00:00
    "#]],
    );
}

#[test]
fn once_makes_up_for_the_latest_and_records_the_others() {
    check(
        Table::at("10:20").cron(cron(times("*/15 * * * *"))).settled("09:00"),
        expect![[r#"
            fire Fired due 10:20:06 past [Missed 09:15:00..10:00:00 x4: found late, together with that of 2026-11-21T10:15:00Z, which runs for it] cronjob/a/2026-11-21T10:15:00Z: Fired: late by 5m, and runs for the 4 before it [Scheduled]
        "#]],
    );
}

#[test]
fn a_single_one_is_made_up_for_and_says_how_late_it_is() {
    check(
        Table::at("10:20").cron(cron(times("*/15 * * * *"))).settled("10:00"),
        expect![[r#"
            fire Fired due 10:20:06 cronjob/a/2026-11-21T10:15:00Z: Fired: late by 5m [Scheduled]
        "#]],
    );
}

#[test]
fn missed_skip_records_them() {
    check(
        Table::at("10:20").cron(cron(TimesRule { missed: Missed::Skip, ..times("*/15 * * * *") })).settled("09:00"),
        expect![[r#"
            note [Missed 09:15:00..10:15:00 x5] up to 10:15:00 cronjob/a/schedule: Missed: nothing started it in time, and `missed: skip` makes nothing up [Scheduled]
        "#]],
    );
}

#[test]
fn missed_all_runs_each_within_its_hour_oldest_first() {
    check(
        Table::at("10:20").cron(cron(TimesRule { missed: Missed::All, ..times("*/15 * * * *") })).settled("09:10"),
        expect![[r#"
            fire Fired due 10:20:06 in its turn past [Missed 09:15:00..09:15:00 x1: nothing started it in time; over 1h ago, or more than 100 at once (missed: all)] cronjob/a/2026-11-21T09:30:00Z: Fired: late by 50m, made up for in its turn (missed: all) [Scheduled]
        "#]],
    );
}

#[test]
fn a_due_time_found_a_little_late_says_so() {
    check(
        Table::at("10:00:20").cron(cron(times("0 * * * *"))).settled("09:00"),
        expect![[r#"
        fire Fired due 10:00:00 cronjob/a/2026-11-21T10:00:00Z: Fired: late by 20s [Scheduled]
    "#]],
    );
}

#[test]
fn a_single_due_time_that_is_too_late_is_missed() {
    check(
        Table::at("10:20").cron(cron(TimesRule { missed_within: secs(600), ..times("0 * * * *") })).settled("09:00"),
        expect![[r#"
            note [Missed 10:00:00..10:00:00 x1] up to 10:00:00 cronjob/a/schedule: Missed: nothing started it in time, and the latest is over 10m ago [Scheduled]
        "#]],
    );
}

#[test]
fn the_latest_of_a_backlog_runs_for_all_although_each_is_hardly_late() {
    check(
        Table::at("10:00:55").cron(cron(every(10))).settled("10:00"),
        expect![[r#"
        fire Fired due 10:00:50 past [Missed 10:00:10..10:00:40 x4: found late, together with that of 2026-11-21T10:00:50Z, which runs for it] cronjob/a/2026-11-21T10:00:50Z: Fired: late by 5s, and runs for the 4 before it [Scheduled]
    "#]],
    );
}

#[test]
fn the_latest_of_a_backlog_replaces_once() {
    check(
        Table::at("10:00:55")
            .cron(RunRule { overlap: Overlap::Replace, ..cron(every(10)) })
            .settled("10:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            fire Fired due 10:00:50 past [Missed 10:00:10..10:00:40 x4: found late, together with that of 2026-11-21T10:00:50Z, which runs for it] cronjob/a/2026-11-21T10:00:50Z: Fired: late by 5s, and runs for the 4 before it [Scheduled]
        "#]],
    );
}

#[test]
fn two_due_times_that_fall_together_are_one_run() {
    check(
        Table::at("10:00:02").cron(cron(every(1))).settled("10:00"),
        expect![[r#"
        fire Fired due 10:00:02 past [Missed 10:00:01..10:00:01 x1: found late, together with that of 2026-11-21T10:00:02Z, which runs for it] cronjob/a/2026-11-21T10:00:02Z: Fired: on time, and runs for the one before it [Scheduled]
    "#]],
    );
}

#[test]
fn missed_skip_runs_the_latest_when_that_is_hardly_late() {
    check(
        Table::at("10:20:30").cron(cron(TimesRule { missed: Missed::Skip, ..times("*/5 * * * *") })).settled("10:00"),
        expect![[r#"
            fire Fired due 10:20:00 past [Missed 10:05:00..10:15:00 x3: found late, together with that of 2026-11-21T10:20:00Z, which runs for it] cronjob/a/2026-11-21T10:20:00Z: Fired: late by 30s, and runs for the 3 before it [Scheduled]
        "#]],
    );
}

#[test]
fn a_backlog_whose_latest_is_skipped_says_of_all_why() {
    check(
        Table::at("10:20")
            .cron(cron(times("*/15 * * * *")))
            .settled("09:00")
            .run("cronjob/a", "2026-11-21T09:00:00Z", "09:00")
            .sees("cronjob/a/2026-11-21T09:00:00Z", "09:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:00:00Z: it is at work [Running]
            note [Missed 09:15:00..10:00:00 x4, Skipped 10:15:00 x1] up to 10:15:00 cronjob/a/schedule: Skipped: the run 2026-11-21T09:00:00Z is not over (overlap: skip) [Scheduled]
        "#]],
    );
}

#[test]
fn a_backlog_under_a_freeze_is_recorded_whole() {
    check(
        Table::at("10:20")
            .cron(all("*/15 * * * *"))
            .settled("09:30")
            .people(|people| people.frozen = Some(Pause { by: "ann".into(), reason: None, until: None })),
        expect![[r#"
            note [Skipped 09:45:00 x1, Skipped 10:00:00 x1, Skipped 10:15:00 x1] up to 10:15:00 cronjob/a/schedule: Skipped: ann froze everything; go on with: setpoint thaw [Scheduled]
        "#]],
    );
}

#[test]
fn what_is_made_up_for_comes_one_after_another_whatever_is_skipped() {
    check(
        Table::at("10:20:10")
            .cron(all("*/15 * * * *"))
            .settled("09:30")
            .looked("10:20:09")
            .made_up("09:30", "10:20:09")
            .sees("cronjob/a/2026-11-21T09:30:00Z", "10:20:09"),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:30:00Z: it is at work [Running]
            fire Fired due 10:20:16 in its turn cronjob/a/2026-11-21T09:45:00Z: Fired: late by 35m 10s, made up for in its turn (missed: all) [Scheduled]
        "#]],
    );
}

#[test]
fn it_comes_in_the_order_of_its_due_times_however_the_clock_was_set() {
    check(
        Table::at("10:22")
            .cron(all("*/15 * * * *"))
            .settled("10:15")
            .looked("10:20:09")
            .made_up("09:30", "10:21")
            .made_up("09:45", "10:20")
            .made_up("10:00", "10:19"),
        expect![[r#"
            spawn #1 cronjob/a/2026-11-21T09:30:00Z: its time has come [Starting]
            wait cronjob/a/2026-11-21T09:45:00Z: the run 2026-11-21T09:30:00Z of the same object is not over [Waiting]
            wait cronjob/a/2026-11-21T10:00:00Z: the run 2026-11-21T09:45:00Z of the same object is not over [Waiting]
            wait cronjob/a/schedule: its next due time is 2026-11-21T10:30:00Z [Scheduled]
            look again when the clock shows 10:30:00
        "#]],
    );
}

#[test]
fn a_due_time_that_comes_meanwhile_is_skipped_and_says_behind_what() {
    check(
        Table::at("10:30")
            .cron(all("*/15 * * * *"))
            .settled("10:15")
            .looked("10:20:09")
            .made_up("10:00", "10:20")
            .made_up("10:15", "10:20")
            .sees(TEN, "10:20"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            wait cronjob/a/2026-11-21T10:15:00Z: the run 2026-11-21T10:00:00Z of the same object is not over [Waiting]
            note [Skipped 10:30:00 x1] up to 10:30:00 cronjob/a/schedule: Skipped: the run 2026-11-21T10:00:00Z and 1 more are not over, 2 that are made up for among them (overlap: skip) [Scheduled]
        "#]],
    );
}

#[test]
fn nothing_takes_the_place_of_what_is_made_up_for() {
    check(
        Table::at("10:30:01")
            .cron(RunRule { overlap: Overlap::Replace, ..all("*/15 * * * *") })
            .settled("10:30")
            .made_up("10:00", "10:20")
            .made_up("10:15", "10:20")
            .run("cronjob/a", "2026-11-21T10:30:00Z", "10:30")
            .sees(TEN, "10:20"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            wait cronjob/a/2026-11-21T10:15:00Z: the run 2026-11-21T10:00:00Z of the same object is not over [Waiting]
            wait cronjob/a/2026-11-21T10:30:00Z: the run 2026-11-21T10:15:00Z of the same object is not over [Waiting]
            wait cronjob/a/schedule: its next due time is 2026-11-21T10:45:00Z [Scheduled]
            look again when the clock shows 10:45:00
        "#]],
    );
}

#[test]
fn as_many_are_made_up_for_beside_each_other_as_are_allowed() {
    check(
        Table::at("10:20:10")
            .cron(RunRule { overlap: Overlap::Allow(2), ..all("*/15 * * * *") })
            .settled("10:15")
            .looked("10:20:09")
            .made_up("09:45", "10:20")
            .made_up("10:00", "10:20")
            .made_up("10:15", "10:20")
            .sees("cronjob/a/2026-11-21T09:45:00Z", "10:20"),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:45:00Z: it is at work [Running]
            spawn #1 cronjob/a/2026-11-21T10:00:00Z: its time has come [Starting]
            wait cronjob/a/2026-11-21T10:15:00Z: the run 2026-11-21T09:45:00Z of the same object is not over [Waiting]
            wait cronjob/a/schedule: its next due time is 2026-11-21T10:30:00Z [Scheduled]
            look again when the clock shows 10:30:00
        "#]],
    );
}

#[test]
fn what_came_since_a_look_is_judged_when_that_is_settled() {
    check(
        Table::at("11:00:10").cron(all("*/15 * * * *")).settled("10:00").looked("10:20"),
        expect![[r#"
        fire Fired due 11:00:16 in its turn cronjob/a/2026-11-21T10:15:00Z: Fired: late by 45m 10s, made up for in its turn (missed: all) [Scheduled]
    "#]],
    );
}

#[test]
fn beyond_a_hundred_that_wait_nothing_more_is_made_up_for() {
    let due = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let waiting =
        (0..100).fold(Table::at("10:20").cron(all("*/5 * * * *")), |table, n| table.made_up(&due(400 + n), "09:00"));
    let table = waiting.settled("10:00").people(|people| {
        people.frozen = None;
    });
    let text = plan_of(table);
    expect!["note [Missed 10:05:00..10:20:00 x4] up to 10:20:00 cronjob/a/schedule: Missed: nothing started it in time; over 1h ago, or more than 100 at once (missed: all) [Scheduled]"].assert_eq(text.lines().last().expect("a line"));
}

#[test]
fn what_was_stopped_and_nobody_says_why_any_more_is_over() {
    check(
        Table::at("10:02").put("job/j", ends(job())).run("job/j", "1", "10:00").record(
            "job/j/1",
            1,
            "10:00",
            Some((Exit::Signal(15), "10:01:01", true)),
        ),
        expect![[r#"
            finish killed job/j/1: killed: it was stopped: with everything, or for a timeout that was changed since [Failed]
        "#]],
    );
}

#[test]
fn what_is_too_late_is_one_row_for_all() {
    check(
        Table::at("10:20").cron(cron(TimesRule { missed: Missed::All, ..times("*/15 * * * *") })).settled("06:00"),
        expect![[r#"
            fire Fired due 10:20:06 in its turn past [Missed 06:15:00..09:15:00 x13: nothing started it in time; over 1h ago, or more than 100 at once (missed: all)] cronjob/a/2026-11-21T09:30:00Z: Fired: late by 50m, made up for in its turn (missed: all) [Scheduled]
        "#]],
    );
}

#[test]
fn at_most_a_hundred_are_made_up_for() {
    check(
        Table::at("09:00:30")
            .cron(cron(TimesRule {
                missed: Missed::All,
                missed_within: Duration::from_secs(8 * 3600),
                ..times("* * * * *")
            }))
            .settled("05:00"),
        expect![[r#"
            fire Fired due 09:00:36 in its turn past [Missed 05:01:00..07:20:00 x140: nothing started it in time; over 8h ago, or more than 100 at once (missed: all)] cronjob/a/2026-11-21T07:21:00Z: Fired: late by 1h 39m, made up for in its turn (missed: all) [Scheduled]
        "#]],
    );
}

#[test]
fn on_time_is_up_to_a_minute_late() {
    check(
        Table::at("10:01").cron(cron(times("0 * * * *"))).settled("09:00"),
        expect![[r#"
            fire Fired due 10:00:00 cronjob/a/2026-11-21T10:00:00Z: Fired: late by 1m [Scheduled]
        "#]],
    );
}

#[test]
fn a_paused_schedule_is_another_so_nothing_is_missed_on_the_way_back() {
    check(
        Table::at("10:20").cron(cron(times("0 * * * *"))).settled("08:00").people(|people| people.pause(0, None)),
        expect![[r#"
            note [] up to 10:20:00 cronjob/a/schedule: its schedule is new, so its due times count from now on [Scheduled]
        "#]],
    );
}

#[test]
fn skip_is_final_and_recorded() {
    check(
        Table::at("11:00")
            .cron(cron(times("0 * * * *")))
            .settled("10:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            note [Skipped 11:00:00 x1] up to 11:00:00 cronjob/a/schedule: Skipped: the run 2026-11-21T10:00:00Z is not over (overlap: skip) [Scheduled]
        "#]],
    );
}

#[test]
fn a_run_with_retries_to_come_occupies_its_place() {
    check(
        Table::at("11:00")
            .cron(RunRule { retry: Retry { times: 1, wait: Duration::from_secs(60) }, ..cron(times("0 * * * *")) })
            .settled("10:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .record(TEN, 1, "10:00", Some((Exit::Code(1), "10:59:30", false))),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: attempt 1 of 2 failed (exit 1); another follows [Backoff]
            note [Skipped 11:00:00 x1] up to 11:00:00 cronjob/a/schedule: Skipped: the run 2026-11-21T10:00:00Z is not over (overlap: skip) [Scheduled]
            look again at 11:00:30
        "#]],
    );
}

#[test]
fn one_waits_in_a_queue() {
    check(
        Table::at("11:00")
            .cron(RunRule { overlap: Overlap::Queue(1), ..cron(times("0 * * * *")) })
            .settled("10:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            fire Fired due 11:00:00 cronjob/a/2026-11-21T11:00:00Z: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_full_queue_is_skipped_past() {
    check(
        Table::at("12:00")
            .cron(RunRule { overlap: Overlap::Queue(1), ..cron(times("0 * * * *")) })
            .settled("11:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .run("cronjob/a", "2026-11-21T11:00:00Z", "11:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            wait cronjob/a/2026-11-21T11:00:00Z: the run 2026-11-21T10:00:00Z of the same object is not over [Waiting]
            note [Skipped 12:00:00 x1] up to 12:00:00 cronjob/a/schedule: Skipped: 1 already wait behind the run 2026-11-21T10:00:00Z (overlap: queue) [Scheduled]
        "#]],
    );
}

#[test]
fn what_replaces_starts_only_when_the_old_tree_is_gone() {
    check(
        Table::at("11:00:01")
            .cron(RunRule { overlap: Overlap::Replace, ..cron(times("0 * * * *")) })
            .settled("11:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .run("cronjob/a", "2026-11-21T11:00:00Z", "11:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            stop cronjob/a/2026-11-21T10:00:00Z: the run 2026-11-21T11:00:00Z takes its place (overlap: replace) [Stopping]
            wait cronjob/a/2026-11-21T11:00:00Z: the run 2026-11-21T10:00:00Z of the same object is not over [Waiting]
            wait cronjob/a/schedule: its next due time is 2026-11-21T12:00:00Z [Scheduled]
            look again at 11:00:03
            look again when the clock shows 12:00:00
        "#]],
    );
}

#[test]
fn what_has_begun_keeps_its_place_before_a_reopened_one() {
    check(
        Table::at("11:30")
            .cron(RunRule { overlap: Overlap::Queue(9), ..cron(times("0 * * * *")) })
            .settled("11:00")
            .run("cronjob/a", "2026-11-21T09:00:00Z", "09:00")
            .change("cronjob/a", "2026-11-21T09:00:00Z", |run| run.forgiven = 1)
            .record("cronjob/a/2026-11-21T09:00:00Z", 1, "09:00", Some((Exit::Code(1), "09:01", false)))
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:00:00Z: the run 2026-11-21T10:00:00Z of the same object is not over [Waiting]
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            wait cronjob/a/schedule: its next due time is 2026-11-21T12:00:00Z [Scheduled]
            look again when the clock shows 12:00:00
        "#]],
    );
}

#[test]
fn allow_starts_beside_as_many_as_it_says() {
    check(
        Table::at("12:00")
            .cron(RunRule { overlap: Overlap::Allow(2), ..cron(times("0 * * * *")) })
            .settled("11:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .run("cronjob/a", "2026-11-21T11:00:00Z", "11:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            spawn #1 cronjob/a/2026-11-21T11:00:00Z: its time has come [Starting]
            note [Skipped 12:00:00 x1] up to 12:00:00 cronjob/a/schedule: Skipped: 2 runs at once already (atOnce) [Scheduled]
        "#]],
    );
}

#[test]
fn a_start_in_quiet_hours_is_dropped_and_recorded() {
    check(
        Table::at("10:00")
            .quiet("09:30", "10:30")
            .cron(cron(TimesRule { quiet: vec![kind::object(6).clone()], ..times("0 * * * *") }))
            .settled("09:00"),
        expect![[r#"
            note [Skipped 10:00:00 x1] up to 10:00:00 cronjob/a/schedule: Skipped: quiet hours q until 2026-11-21T10:30:00Z [Scheduled]
        "#]],
    );
}

#[test]
fn a_start_in_quiet_hours_comes_after_them() {
    check(
        Table::at("10:00")
            .quiet("09:30", "10:30")
            .cron(cron(TimesRule {
                quiet: vec![kind::object(6).clone()],
                on_quiet: OnQuiet::Defer,
                ..times("0 * * * *")
            }))
            .settled("09:00"),
        expect![[r#"
            fire Deferred due 10:30:06 cronjob/a/2026-11-21T10:00:00Z: Deferred: until 2026-11-21T10:30:00Z, by quiet hours q [Scheduled]
        "#]],
    );
}

#[test]
fn quiet_hours_end_with_their_last_minute() {
    check(
        Table::at("10:30")
            .quiet("09:30", "10:30")
            .cron(cron(TimesRule { quiet: vec![kind::object(6).clone()], ..times("30 * * * *") }))
            .settled("10:00"),
        expect![[r#"
            fire Fired due 10:30:00 cronjob/a/2026-11-21T10:30:00Z: its time has come [Starting]
        "#]],
    );
}

#[test]
fn quiet_hours_judge_a_retry_as_well() {
    check(
        Table::at("10:00")
            .quiet("09:30", "10:30")
            .cron(RunRule {
                retry: Retry { times: 1, wait: Duration::from_secs(1) },
                ..cron(TimesRule { quiet: vec![kind::object(6).clone()], ..times("0 12 * * *") })
            })
            .settled("09:30")
            .run("cronjob/a", "2026-11-21T09:00:00Z", "09:00")
            .record("cronjob/a/2026-11-21T09:00:00Z", 1, "09:00", Some((Exit::Code(1), "09:40", false))),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:00:00Z: it starts at 2026-11-21T10:30:00Z [Waiting]
            wait cronjob/a/schedule: its next due time is 2026-11-21T12:00:00Z [Scheduled]
            look again when the clock shows 10:30:00
        "#]],
    );
}

#[test]
fn a_running_job_is_left_alone_in_quiet_hours() {
    check(
        Table::at("10:00")
            .quiet("09:30", "10:30")
            .cron(cron(TimesRule { quiet: vec![kind::object(6).clone()], ..times("0 12 * * *") }))
            .settled("09:30")
            .run("cronjob/a", "2026-11-21T09:00:00Z", "09:00")
            .sees("cronjob/a/2026-11-21T09:00:00Z", "09:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T09:00:00Z: it is at work [Running]
            wait cronjob/a/schedule: its next due time is 2026-11-21T12:00:00Z [Scheduled]
            look again when the clock shows 12:00:00
        "#]],
    );
}

#[test]
fn a_clock_set_ahead_by_under_three_hours_counts_as_lateness() {
    check(
        Table::at("10:00:10").cron(cron(times("0 * * * *"))).settled("08:30").clock_set(true, "02:00"),
        expect![[r#"
            fire Fired due 10:00:00 past [Missed 09:00:00..09:00:00 x1: found late, together with that of 2026-11-21T10:00:00Z, which runs for it] cronjob/a/2026-11-21T10:00:00Z: Fired: late by 10s, and runs for the one before it [Scheduled]
        "#]],
    );
}

#[test]
fn a_clock_set_ahead_by_more_starts_afresh_and_says_so() {
    check(
        Table::at("10:00:10").cron(cron(times("0 * * * *"))).settled("08:30").clock_set(true, "04:00"),
        expect![[r#"
            note [ClockStep 10:00:10 x1] up to 10:00:10 cronjob/a/schedule: the clock was set, so its due times count from now on [Scheduled]
        "#]],
    );
}

#[test]
fn a_clock_set_back_by_under_three_hours_waits() {
    check(
        Table::at("08:00").cron(cron(times("0 * * * *"))).settled("10:00"),
        expect![[r#"
        wait cronjob/a/schedule: its next due time is 2026-11-21T11:00:00Z [Scheduled]
        look again when the clock shows 11:00:00
    "#]],
    );
}

#[test]
fn a_clock_set_back_by_more_starts_afresh_and_says_so() {
    check(
        Table::at("05:00").cron(cron(times("0 * * * *"))).settled("10:00"),
        expect![[r#"
        note [ClockStep 05:00:00 x1] up to 05:00:00 cronjob/a/schedule: the clock was set, so its due times count from now on [Scheduled]
    "#]],
    );
}

#[test]
fn once_is_consumed_by_a_run_that_started() {
    check(
        Table::at("10:00")
            .cron(cron(TimesRule { is_once: true, ..times("0 * * * *") }))
            .settled("09:00")
            .book_with("cronjob/a", |book| book.is_spent = true),
        expect![[r#"
            note [] up to 10:00:00 cronjob/a/schedule: it runs once, and has [Done]
        "#]],
    );
}

#[test]
fn once_is_not_consumed_by_a_run_that_never_started() {
    check(
        Table::at("10:00").cron(cron(TimesRule { is_once: true, ..times("0 * * * *") })).settled("09:00").last(
            "cronjob/a",
            "2026-11-21T09:00:00Z",
            Outcome::Cancelled,
        ),
        expect![[r#"
            fire Fired due 10:00:00 cronjob/a/2026-11-21T10:00:00Z: its time has come [Starting]
        "#]],
    );
}

#[test]
fn once_waits_for_the_run_it_has() {
    check(
        Table::at("11:00")
            .cron(RunRule { overlap: Overlap::Allow(5), ..cron(TimesRule { is_once: true, ..times("0 * * * *") }) })
            .settled("10:00")
            .run("cronjob/a", "2026-11-21T10:00:00Z", "10:00")
            .sees(TEN, "10:00"),
        expect![[r#"
            wait cronjob/a/2026-11-21T10:00:00Z: it is at work [Running]
            note [Skipped 11:00:00 x1] up to 11:00:00 cronjob/a/schedule: Skipped: the one run it has is not over: 2026-11-21T10:00:00Z [Scheduled]
        "#]],
    );
}

#[test]
fn a_schedule_that_is_switched_off_says_so() {
    check(
        Table::at("10:00")
            .cron(cron(TimesRule { is_enabled: false, ..times("0 * * * *") }))
            .settled("09:00")
            .book_with("cronjob/a", |book| {
                let cursor = book.cursor.as_mut().expect("settled");
                cursor.key = format!("{}+off", cursor.key).into();
            }),
        expect![[r#"
            wait cronjob/a/schedule: it is switched off by `enabled: false` [Paused]
        "#]],
    );
}

#[test]
fn a_boot_is_due_once() {
    check(
        Table::at("10:00")
            .cron(cron(times("@reboot")))
            .settled("09:00")
            .book_with("cronjob/a", |book| book.cursor.as_mut().expect("settled").boot_id = BootId::new("before")),
        expect![[r#"
            fire  due 10:00:00 cronjob/a/boot-aaaaaaaa0000: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_boot_under_a_freeze_is_recorded() {
    check(
        Table::at("10:00")
            .cron(cron(times("@reboot")))
            .settled("09:00")
            .book_with("cronjob/a", |book| book.cursor.as_mut().expect("settled").boot_id = BootId::new("before"))
            .people(|people| people.frozen = Some(Pause { by: "ann".into(), reason: None, until: None })),
        expect![[r#"
            note [Skipped 10:00:00 x1] up to 09:00:00 cronjob/a/schedule: Skipped: ann froze everything; go on with: setpoint thaw [Scheduled]
        "#]],
    );
}

#[test]
fn the_first_retry_waits_as_long_as_it_says() {
    check(
        Table::at("10:00:05")
            .put("job/j", ends(RunRule { retry: Retry { times: 3, wait: Duration::from_secs(10) }, ..job() }))
            .run("job/j", "1", "09:00")
            .record("job/j/1", 1, "09:59", Some((Exit::Code(1), "10:00", false))),
        expect![[r#"
            wait job/j/1: attempt 1 of 4 failed (exit 1); another follows [Backoff]
            look again at 10:00:10
        "#]],
    );
}

#[test]
fn each_further_retry_waits_twice_as_long() {
    check(
        Table::at("10:00:25")
            .put("job/j", ends(RunRule { retry: Retry { times: 3, wait: Duration::from_secs(10) }, ..job() }))
            .run("job/j", "1", "09:00")
            .record("job/j/1", 3, "09:59", Some((Exit::Code(1), "10:00", false))),
        expect![[r#"
            wait job/j/1: attempt 3 of 4 failed (exit 1); another follows [Backoff]
            look again at 10:00:40
        "#]],
    );
}

#[test]
fn a_retry_comes_when_its_wait_is_over() {
    check(
        Table::at("10:00:10")
            .put("job/j", ends(RunRule { retry: Retry { times: 3, wait: Duration::from_secs(10) }, ..job() }))
            .run("job/j", "1", "09:00")
            .record("job/j/1", 1, "09:59", Some((Exit::Code(1), "10:00", false))),
        expect![[r#"
            spawn #2 job/j/1: its time has come [Starting]
        "#]],
    );
}

#[test]
fn after_the_last_retry_it_has_failed() {
    check(
        Table::at("10:00:10")
            .put("job/j", ends(RunRule { retry: Retry { times: 1, wait: Duration::from_secs(10) }, ..job() }))
            .run("job/j", "1", "09:00")
            .record("job/j/1", 2, "09:59", Some((Exit::Signal(9), "10:00", false))),
        expect![[r#"
            finish killed job/j/1: killed: signal 9 [Failed]
        "#]],
    );
}

#[test]
fn what_takes_too_long_is_stopped() {
    check(
        Table::at("10:01")
            .put("job/j", ends(RunRule { timeout: Some(Duration::from_secs(60)), ..job() }))
            .run("job/j", "1", "10:00")
            .sees("job/j/1", "10:00"),
        expect![[r#"
            stop job/j/1: it takes longer than its timeout [Stopping]
            look again at 10:01:02
        "#]],
    );
}

#[test]
fn what_was_stopped_for_that_has_timed_out() {
    check(
        Table::at("10:02")
            .put("job/j", ends(RunRule { timeout: Some(Duration::from_secs(60)), ..job() }))
            .run("job/j", "1", "10:00")
            .record("job/j/1", 1, "10:00", Some((Exit::Signal(15), "10:01:01", true))),
        expect![[r#"
            finish timeout job/j/1: timeout: took longer than 1m [Failed]
        "#]],
    );
}

#[test]
fn an_end_that_nobody_saw_is_lost_and_counts() {
    check(
        Table::at("10:02").put("job/j", ends(job())).run("job/j", "1", "10:00").record("job/j/1", 1, "10:00", None),
        expect![[r#"
            record loss of #1 job/j/1: it vanished without an exit [Backoff]
        "#]],
    );
}

#[test]
fn an_end_in_another_boot_is_lost() {
    check(
        Table::at("10:02").put("job/j", ends(job())).run("job/j", "1", "10:00").record(
            "job/j/1",
            1,
            "10:00",
            Some((Exit::Lost, "10:01", false)),
        ),
        expect![[r#"
            finish lost job/j/1: lost: exit unknown [Failed]
        "#]],
    );
}

#[test]
fn a_generation_of_a_job_runs_once() {
    check(
        Table::at("10:00").put("job/j", ends(job())).last("job/j", "1", Outcome::Ok),
        expect![[r#"
        wait job/j/1: ok: as it was [Done]
    "#]],
    );
}

#[test]
fn the_next_generation_runs_again() {
    check(
        Table::at("10:00").put("job/j", ends(job())).put("job/j", ends(job())).last("job/j", "1", Outcome::Ok),
        expect![[r#"
            fire  due 10:00:00 job/j/2: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_job_waits_for_its_moment() {
    check(
        Table::at("08:59")
            .put("job/j", ends(RunRule { arises: Arises::Once { at: Some(At::Instant(wall("09:00"))) }, ..job() })),
        expect![[r#"
            wait job/j/1: it starts at 2026-11-21T09:00:00Z [Waiting]
            look again when the clock shows 09:00:00
        "#]],
    );
}

#[test]
fn work_of_high_risk_waits_for_consent() {
    check(
        Table::at("10:00").put("job/j", ends(RunRule { risk: Risk::High, ..job() })),
        expect![[r#"
        wait job/j/1: it needs consent (risk: high), and this version cannot ask for it yet [NeedsConsent]
    "#]],
    );
}

#[test]
fn a_due_time_that_nobody_agreed_to_is_held() {
    check(
        Table::at("10:00").cron(RunRule { risk: Risk::High, ..cron(times("0 * * * *")) }).settled("09:00"),
        expect![[r#"
            note [Held 10:00:00 x1] up to 10:00:00 cronjob/a/schedule: Held: it needs consent (risk: high), and this version cannot ask for it yet [NeedsConsent]
        "#]],
    );
}

#[test]
fn a_due_time_under_a_freeze_is_recorded() {
    check(
        Table::at("10:00").cron(cron(times("0 * * * *"))).settled("09:00").people(|people| {
            people.frozen = Some(Pause { by: "ann".into(), reason: Some("release".into()), until: None })
        }),
        expect![[r#"
            note [Skipped 10:00:00 x1] up to 10:00:00 cronjob/a/schedule: Skipped: ann froze everything: release; go on with: setpoint thaw [Scheduled]
        "#]],
    );
}

#[test]
fn a_machine_that_is_pressed_takes_up_nothing_and_says_by_how_much() {
    let table = || Table::at("10:00").put("job/j", ends(job())).run("job/j", "1", "09:00").limits(None);
    check(
        table().pressed("09:59:58"),
        expect![[r#"
        wait job/j/1: the load is 12.30, over 8.00 (gates.load) [Waiting]
        look again at 10:00:03
    "#]],
    );
    check(
        table(),
        expect![[r#"
        spawn #1 job/j/1: its time has come [Starting]
    "#]],
    );
    // What a person asks for is no exception: the machine bears it no better.
    let asked = table().pressed("10:00").change("job/j", "1", |run| run.origin = Origin::Person("ann".into()));
    check(
        asked,
        expect![[r#"
        wait job/j/1: the load is 12.30, over 8.00 (gates.load) [Waiting]
        look again at 10:00:05
    "#]],
    );
}

#[test]
fn what_has_begun_goes_on_however_hard_the_machine_is_pressed() {
    let flow = vec![step("a", &[]), step("b", &["a"])];
    let table = Table::at("10:00").limits(None).pressed("10:00");
    let table = table.put("job/j", ends(RunRule { retry: Retry { times: 1, wait: secs(1) }, ..job() }));
    let table = table.run("job/j", "1", "09:00").record("job/j/1", 1, "09:00", Some((Exit::Code(1), "09:01", false)));
    let table = table.flow(flow).run("workflow/w", "r", "09:00").step("a", Outcome::Ok);
    check(
        table,
        expect![[r#"
        spawn #2 job/j/1: its time has come [Starting]
        wait workflow/w/r: 1 of 2 steps are over [Running]
        spawn #1 workflow/w/r.b: its time has come [Starting]
    "#]],
    );
}

#[test]
fn due_times_are_recorded_on_a_machine_that_is_pressed() {
    let table = Table::at("10:00").cron(cron(times("0 * * * *"))).settled("09:30").limits(None).pressed("10:00");
    check(
        table,
        expect![[r#"
        fire Fired due 10:00:00 cronjob/a/2026-11-21T10:00:00Z: its time has come [Starting]
    "#]],
    );
}

/// As many runs of `cronjob/a`, which takes all it can get, since 08:00, and one of `job/j` since 09:59.
fn crowd(count: u32) -> Table {
    let rule = RunRule { overlap: Overlap::Allow(u32::MAX), ..cron(times("0 0 1 1 *")) };
    let mut table = Table::at("10:00").cron(rule).settled("09:30").put("job/j", ends(job()));
    for n in 0..count {
        table = table.run("cronjob/a", &format!("run-{n:04}"), "08:00");
    }
    table.run("job/j", "1", "09:59")
}

#[test]
fn places_go_round_and_whoever_has_the_fewest_goes_first() {
    check(
        crowd(4).limits(Some(2)),
        expect![[r#"
        spawn #1 cronjob/a/run-0000: its time has come [Starting]
        wait cronjob/a/run-0001: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0002: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0003: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/schedule: its next due time is 2027-01-01T00:00:00Z [Scheduled]
        spawn #1 job/j/1: its time has come [Starting]
        look again when the clock shows 2027-01-01T00:00:00
    "#]],
    );
    check(
        crowd(4).limits(Some(3)),
        expect![[r#"
        spawn #1 cronjob/a/run-0000: its time has come [Starting]
        spawn #1 cronjob/a/run-0001: its time has come [Starting]
        wait cronjob/a/run-0002: 3 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0003: 3 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/schedule: its next due time is 2027-01-01T00:00:00Z [Scheduled]
        spawn #1 job/j/1: its time has come [Starting]
        look again when the clock shows 2027-01-01T00:00:00
    "#]],
    );
    check(
        crowd(4).limits(Some(2)).sees("cronjob/a/run-0000", "09:00"),
        expect![[r#"
        wait cronjob/a/run-0000: it is at work [Running]
        wait cronjob/a/run-0001: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0002: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0003: 2 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/schedule: its next due time is 2027-01-01T00:00:00Z [Scheduled]
        spawn #1 job/j/1: its time has come [Starting]
        look again when the clock shows 2027-01-01T00:00:00
    "#]],
    );
    // Of a single place, whoever had it the longest ago.
    check(
        crowd(2).limits(Some(1)).last("cronjob/a", "run-a", Outcome::Ok),
        expect![[r#"
        wait cronjob/a/run-0000: 1 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/run-0001: 1 runs are at work, which is the limit (maxRuns) [Waiting]
        wait cronjob/a/schedule: its next due time is 2027-01-01T00:00:00Z [Scheduled]
        spawn #1 job/j/1: its time has come [Starting]
        look again when the clock shows 2027-01-01T00:00:00
    "#]],
    );
    // Among equals, what has waited the longest.
    check(
        crowd(1).limits(Some(1)),
        expect![[r#"
        spawn #1 cronjob/a/run-0000: its time has come [Starting]
        wait cronjob/a/schedule: its next due time is 2027-01-01T00:00:00Z [Scheduled]
        wait job/j/1: 1 runs are at work, which is the limit (maxRuns) [Waiting]
        look again when the clock shows 2027-01-01T00:00:00
    "#]],
    );
}

#[test]
fn what_waits_for_a_place_takes_no_room_of_a_plan() {
    let table = crowd(u32::try_from(ACTIONS_MAX).expect("a small number") + 10).limits(Some(2));
    let plan = made(table);
    let starts: Vec<String> =
        plan.decisions.iter().filter(|d| d.action.is_some()).map(|decision| decision.id.to_string()).collect();
    assert_eq!(starts, ["cronjob/a/run-0000", "job/j/1"]);
    assert!(!plan.decisions.iter().any(|decision| decision.because == Reason::PlanFull));
    assert_eq!(plan.wake_at, None, "nobody looks again before something happens");
}

#[test]
fn somebody_who_cancels_ends_it() {
    check(
        Table::at("10:00")
            .put("job/j", ends(job()))
            .run("job/j", "1", "09:00")
            .change("job/j", "1", |run| run.cancel = Some("ann".into()))
            .sees("job/j/1", "09:00"),
        expect![[r#"
            stop job/j/1: ann cancelled it [Stopping]
            look again at 10:00:02
        "#]],
    );
}

#[test]
fn what_never_began_is_cancelled_at_once() {
    check(
        Table::at("10:00")
            .put("job/j", ends(job()))
            .run("job/j", "1", "09:00")
            .change("job/j", "1", |run| run.cancel = Some("ann".into())),
        expect![[r#"
            finish cancelled job/j/1: cancelled: cancelled by ann [Failed]
        "#]],
    );
}

#[test]
fn attempts_that_are_forgiven_do_not_count() {
    check(
        Table::at("10:00")
            .put("job/j", ends(job()))
            .run("job/j", "1", "09:00")
            .change("job/j", "1", |run| run.forgiven = 2)
            .record("job/j/1", 2, "09:00", Some((Exit::Code(1), "09:01", false))),
        expect![[r#"
            spawn #3 job/j/1: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_write_that_failed_is_not_repeated_at_once() {
    check(
        Table::at("10:00:01")
            .put("job/j", ends(job()))
            .run("job/j", "1", "09:00")
            .record("job/j/1", 1, "09:00", Some((Exit::Code(0), "09:01", false)))
            .book_with("job/j", |book| {
                book.refused = Some(setpoint::engine::observed::Refused {
                    at: boot("10:00"),
                    why: "no space left on device".into(),
                })
            }),
        expect![[r#"
            wait job/j/1: it could not be started: no space left on device [Waiting]
            look again at 10:00:02
        "#]],
    );
}

#[test]
fn nothing_begins_that_cannot_be_remembered() {
    check(
        with_trouble(Table::at("10:00").put("job/j", ends(job()))),
        expect![[r#"
        wait job/j/schedule: nothing can be written down, so nothing is begun: no space left on device [Waiting]
    "#]],
    );
}

#[test]
fn steps_without_needs_start_together() {
    check(
        Table::at("10:00").flow(vec![step("build", &[]), step("lint", &[]), step("ship", &["build", "lint"])]).run(
            "workflow/w",
            "r",
            "09:00",
        ),
        expect![[r#"
            wait workflow/w/r: 0 of 3 steps are over [Running]
            spawn #1 workflow/w/r.build: its time has come [Starting]
            spawn #1 workflow/w/r.lint: its time has come [Starting]
            wait workflow/w/r.ship: it comes after other steps [Waiting]
        "#]],
    );
}

#[test]
fn a_step_starts_when_what_it_needs_is_over() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[]), step("ship", &["build"])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok),
        expect![[r#"
            wait workflow/w/r: 1 of 2 steps are over [Running]
            spawn #1 workflow/w/r.ship: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_step_that_failed_ends_the_whole_once_the_others_are_over() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[]), step("lint", &[]), step("ship", &["build"])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Failed)
            .sees("workflow/w/r.lint", "09:00"),
        expect![[r#"
            wait workflow/w/r: 1 of 3 steps are over [Running]
            wait workflow/w/r.lint: it is at work [Running]
        "#]],
    );
}

#[test]
fn a_step_that_failed_fails_the_whole() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[]), step("ship", &["build"])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Failed),
        expect![[r#"
            finish failed workflow/w/r: failed: step build: failed [Failed]
        "#]],
    );
}

#[test]
fn every_step_over_is_the_end_of_the_whole() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[]), step("ship", &["build"])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok)
            .step("ship", Outcome::Skipped),
        expect![[r#"
            finish ok workflow/w/r: ok: every step is done [Done]
        "#]],
    );
}

#[test]
fn a_condition_that_is_false_skips_the_step() {
    check(
        Table::at("10:00")
            .flow(vec![
                step("build", &[]),
                FlowStep {
                    when: Some(Condition::Expression("steps.build.output.n > 1".into())),
                    ..step("ship", &["build"])
                },
            ])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok),
        expect![[r#"
            wait workflow/w/r: 1 of 2 steps are over [Running]
            finish skipped workflow/w/r.ship: skipped: `when: steps.build.output.n > 1` is false [Done]
        "#]],
    );
}

#[test]
fn a_condition_that_is_true_lets_it_start() {
    check(
        Table::at("10:00")
            .flow(vec![
                step("build", &[]),
                FlowStep {
                    when: Some(Condition::Expression("steps.build.output.n == 1".into())),
                    ..step("ship", &["build"])
                },
            ])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok),
        expect![[r#"
            wait workflow/w/r: 1 of 2 steps are over [Running]
            spawn #1 workflow/w/r.ship: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_condition_that_cannot_be_told_fails_the_step() {
    check(
        Table::at("10:00")
            .flow(vec![FlowStep { when: Some(Condition::Expression("nobody.knows".into())), ..step("ship", &[]) }])
            .run("workflow/w", "r", "09:00"),
        expect![[r#"
            wait workflow/w/r: 0 of 1 steps are over [Running]
            finish failed workflow/w/r.ship: failed: `when: nobody.knows` cannot be told: Undeclared reference to 'nobody' [Failed]
        "#]],
    );
}

#[test]
fn a_condition_may_be_a_command() {
    check(
        Table::at("10:00").flow(vec![asked(step("ship", &[]))]).run("workflow/w", "r", "09:00"),
        expect![[r#"
        wait workflow/w/r: 0 of 1 steps are over [Running]
        spawn #1 workflow/w/r.ship.when: its time has come [Starting]
    "#]],
    );
}

#[test]
fn a_command_that_exits_with_1_skips_the_step() {
    check(
        Table::at("10:00").flow(vec![asked(step("ship", &[]))]).run("workflow/w", "r", "09:00").record(
            "workflow/w/r.ship.when",
            1,
            "09:00",
            Some((Exit::Code(1), "09:01", false)),
        ),
        expect![[r#"
            wait workflow/w/r: 0 of 1 steps are over [Running]
            finish skipped workflow/w/r.ship: skipped: its condition exit 1 [Done]
        "#]],
    );
}

#[test]
fn a_step_that_asks_first_waits_for_consent() {
    check(
        Table::at("10:00").flow(vec![FlowStep { asks_first: true, ..step("ship", &[]) }]).run(
            "workflow/w",
            "r",
            "09:00",
        ),
        expect![[r#"
            wait workflow/w/r: 0 of 1 steps are over [Running]
            wait workflow/w/r.ship: it needs consent (askFirst), and this version cannot ask for it yet [NeedsConsent]
        "#]],
    );
}

#[test]
fn a_step_that_an_edit_took_away_is_waited_for() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok)
            .sees("workflow/w/r.ship", "09:00"),
        expect![[r#"
            wait workflow/w/r: 1 of 1 steps are over [Running]
            wait workflow/w/r.ship: it is at work [Running]
        "#]],
    );
}

#[test]
fn a_step_that_a_person_reopened_is_done_again() {
    check(
        Table::at("10:00")
            .flow(vec![step("build", &[]), step("ship", &["build"])])
            .run("workflow/w", "r", "09:00")
            .step("build", Outcome::Ok)
            .change("workflow/w", "r", |run| _ = run.reopened.insert("ship".into(), 1))
            .record("workflow/w/r.ship", 1, "09:00", Some((Exit::Code(1), "09:01", false))),
        expect![[r#"
            wait workflow/w/r: 1 of 2 steps are over [Running]
            spawn #2 workflow/w/r.ship: its time has come [Starting]
        "#]],
    );
}

#[test]
fn a_need_is_met_when_the_present_generation_is_done() {
    check(
        needs(Until::Done).last("job/j", "1", Outcome::Ok),
        expect![[r#"
        wait job/j/1: ok: as it was [Done]
        spawn #1 job/k/1: its time has come [Starting]
    "#]],
    );
}

#[test]
fn a_need_is_not_met_while_it_is_being_done() {
    check(
        needs(Until::Done).run("job/j", "1", "09:00").sees("job/j/1", "09:00"),
        expect![[r#"
        wait job/j/1: it is at work [Running]
        wait job/k/1: it needs job/j done, which is Running [Waiting]
    "#]],
    );
}

#[test]
fn a_need_of_a_start_is_met_while_it_is_being_done() {
    check(
        needs(Until::Started).run("job/j", "1", "09:00").sees("job/j/1", "09:00"),
        expect![[r#"
        wait job/j/1: it is at work [Running]
        spawn #1 job/k/1: its time has come [Starting]
    "#]],
    );
}

#[test]
fn a_need_that_failed_is_said_to_have() {
    check(
        needs(Until::Started).last("job/j", "1", Outcome::Failed),
        expect![[r#"
        wait job/j/1: failed: as it was [Failed]
        wait job/k/1: it needs job/j started, which is Failed [Waiting]
    "#]],
    );
}
