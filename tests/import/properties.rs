//! Whatever stands in a file: no panic, every key accounted for once, and what comes out loads.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use setpoint::import::{Around, FORMATS, Format, Key, import};
use setpoint::load::{Form, LoadContext, load_text};

/// Keys that mean something to some format, and some that mean nothing to any.
const KEYS: &[&str] = &[
    "command",
    "run",
    "script",
    "name",
    "args",
    "environment",
    "env",
    "env_file",
    "user",
    "umask",
    "numprocs",
    "instances",
    "replicas",
    "autorestart",
    "autostart",
    "restart",
    "retry",
    "startsecs",
    "startretries",
    "stopsignal",
    "stopwaitsecs",
    "stop_signal",
    "stop_grace_period",
    "kill_timeout",
    "max_restarts",
    "min_uptime",
    "depends_on",
    "depends",
    "healthcheck",
    "readiness_probe",
    "liveness_probe",
    "availability",
    "shutdown",
    "ready_output",
    "ready_http",
    "ready_port",
    "deploy",
    "ulimits",
    "mem_limit",
    "cpus",
    "logging",
    "labels",
    "profiles",
    "directory",
    "dir",
    "cwd",
    "working_dir",
    "build",
    "image",
    "ports",
    "volumes",
    "Type",
    "ExecStart",
    "ExecStartPre",
    "ExecStop",
    "Restart",
    "RestartSec",
    "StartLimitBurst",
    "StartLimitIntervalSec",
    "LimitNOFILE",
    "Environment",
    "EnvironmentFile",
    "KillMode",
    "WatchdogSec",
    "MemoryMax",
    "CPUQuota",
    "TimeoutStopSec",
    "After",
    "test",
    "interval",
    "retries",
    "limits",
    "cpu_limit",
    "port",
    "schedule",
    "cron",
    "module",
    "enabled",
    "databases",
    "window",
    "host",
    "data_dir",
    "max_age",
    "condition",
    "conditions",
    "cooldownMs",
    "requiresApproval",
    "prompt",
    "events",
    "extensions",
    "ignore",
    "watch",
    "ignore_watch",
    "hooks",
    "on_ready",
    "develop",
    "shell",
    "nonsense",
    "x-y",
    "",
];

/// Values of every sort, most of them wrong for most keys.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "-1",
    "3",
    "65536",
    "1000001",
    "99999999999999999999",
    "true",
    "false",
    "no",
    "always",
    "on-failure",
    "unexpected",
    "30s",
    "1m30s",
    "infinity",
    "7d",
    "0.001s",
    "512m",
    "10%",
    "150%",
    "1.5",
    "TERM",
    "SIGKILL",
    "KILL",
    "99",
    "web",
    "a b 'c d'",
    "unbalanced 'quote",
    "$HOME",
    "${A:-b}",
    "${A}",
    "${A",
    "x${A}y",
    "%(ENV_A)s",
    "%(process_num)02d",
    "%(program_name)s",
    "%i",
    "%Z",
    "100%",
    "/bin/true",
    "-/bin/true",
    "./run --flag",
    "~",
    "../x",
    "A=1",
    "A=1,B=\"2,3\"",
    "=",
    "8080",
    ":8080/x",
    "http://localhost:1/x",
    "https://a/b",
    "^regex.*$",
    "027",
    "0999",
    "a:b:c",
    "{{ x }}",
    "é",
    "\u{1f600}",
    "\u{85}",
    "- x",
    "# y",
    "a: b",
    "[",
    "{",
    "null",
];

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        8 => prop::sample::select(VALUES).prop_map(serde_json::Value::from),
        1 => any::<i64>().prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(prop::sample::select(KEYS), inner, 0..4).prop_map(map),
        ]
    })
}

fn map(fields: std::collections::BTreeMap<&str, serde_json::Value>) -> serde_json::Value {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
}

/// What runs in the words of every format, so that most of what comes in comes out.
const RUNS: &[&str] = &["/bin/true", "./run --flag ${A:-b} $C", "/bin/a 'b c' %% $$x", "npm start", "unbalanced '"];

fn section() -> impl Strategy<Value = serde_json::Value> {
    let fields = prop::collection::btree_map(prop::sample::select(KEYS), value(), 0..12);
    (fields, prop::sample::select(RUNS)).prop_map(|(mut fields, run)| {
        for key in ["command", "run", "script", "ExecStart"] {
            fields.insert(key, run.into());
        }
        map(fields)
    })
}

/// A file of a format from sections of any shape.
fn text(format: &Format, sections: &[serde_json::Value]) -> String {
    let named = |name: &str| {
        let fields = sections.iter().enumerate().map(|(n, section)| (format!("web{n}"), section.clone()));
        serde_json::json!({ name: fields.collect::<serde_json::Map<_, _>>() })
    };
    let lines = |head: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for (n, section) in sections.iter().enumerate() {
            text.push_str(&format!("{}\n", head(n)));
            for (key, value) in section.as_object().into_iter().flatten().filter(|(key, _)| !key.is_empty()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        text
    };
    match format.name {
        "compose" => named("services").to_string(),
        "process-compose" => named("processes").to_string(),
        "pitchfork" => toml::to_string(&without_null(named("daemons"))).expect("TOML"),
        "pm2" => serde_json::json!({ "apps": sections }).to_string(),
        "supervisord" => lines(&|n| format!("[program:web{n}]")),
        "aiwg" => of_aiwg(sections),
        "gastown" => of_gastown(sections),
        "work-buddy" => serde_json::json!({ "sidecar": named("services"), "timezone": "UTC" }).to_string(),
        "systemd" => lines(&|_| "[Service]".to_owned()),
        "crontab" => lines(&|n| format!("# job {n}\n{} * * * * root ./run {n}%in\\%put%", n * 7)),
        _ => lines(&|n| format!("web{n}: ./run {n}")).replace('=', ": "),
    }
}

/// Sections as whatever AIWG has lists of.
fn of_aiwg(sections: &[serde_json::Value]) -> String {
    let with = |fields: serde_json::Value| {
        let join = |(n, section): (usize, &serde_json::Value)| {
            let mut section = section.clone();
            if let (Some(section), Some(fields)) = (section.as_object_mut(), fields.as_object()) {
                section.extend(fields.clone());
                section.insert("id".to_owned(), format!("{n}").into());
            }
            section
        };
        sections.iter().enumerate().map(join).collect::<Vec<_>>()
    };
    let rules = with(serde_json::json!({
        "trigger": { "type": "file_change", "pattern": "src/**" }, "action": { "type": "agent", "prompt": "x" },
    }));
    let jobs = with(serde_json::json!({ "cron": "0 3 * * *", "action": "doctor" }));
    let first = sections.first();
    serde_json::json!({
        "daemon": first, "watch": { "paths": with(serde_json::json!({ "path": "src" })) },
        "schedule": { "jobs": jobs }, "rules": rules, "supervisor": first,
    })
    .to_string()
}

/// Sections as patrols.
fn of_gastown(sections: &[serde_json::Value]) -> String {
    const PATROLS: &[&str] = &["dolt_server", "wisp_reaper", "scheduled_maintenance", "dolt_backup", "deacon", "odd"];
    let patrols =
        PATROLS.iter().zip(sections.iter().cycle()).map(|(name, section)| ((*name).to_owned(), section.clone()));
    serde_json::json!({ "patrols": patrols.collect::<serde_json::Map<_, _>>(), "env": sections.first() }).to_string()
}

/// TOML has no null.
fn without_null(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Null => "".into(),
        serde_json::Value::Array(items) => items
            .into_iter()
            .map(|item| match without_null(item) {
                // Lists of TOML may mix types, and the writer of this test takes maps last.
                serde_json::Value::Object(map) => serde_json::Value::Object(map),
                other => other,
            })
            .collect(),
        serde_json::Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, without_null(value))).collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

fn check(format: &Format, bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("input.any");
    fs::write(&path, bytes).expect("written");
    for is in [false, true] {
        let home = Some(PathBuf::from("/home/ada"));
        let around = Around { target: PathBuf::from("/srv/x"), home, docker: is, system: is };
        let Ok(imported) = import(format, std::slice::from_ref(&path), &around) else { continue };
        for source in &imported.sources {
            for leaf in Key::root(source).leaves().iter().filter(|leaf| !leaf.path.is_empty()) {
                let count = imported.report.covering(leaf);
                prop_assert_eq!(count, 1, "{:?} is accounted for {} times", leaf.path, count);
            }
        }
        let yaml = imported.drafts.iter().map(setpoint::import::Draft::yaml).collect::<Vec<_>>().join("---\n");
        let context = LoadContext { folder: PathBuf::from("/") };
        let loaded = load_text(yaml.as_bytes(), Form::Yaml, &context);
        // Needs may go round in a circle, which only all of them together show.
        let is_good = loaded.as_ref().err().is_none_or(|problems| {
            problems.list.iter().all(|problem| problem.message.contains("circle") || problem.message.contains("cycle"))
        });
        prop_assert!(is_good, "{}\n{}", yaml, loaded.err().map(|problems| problems.to_string()).unwrap_or_default());
    }
    Ok(())
}

/// Pieces of calendar expressions and spans, most of which make none.
const TIMES: &[&str] = &[
    "daily",
    "weekly",
    "Mon..Fri 08:00",
    "*:0/15",
    "*-*-* 03:00:00",
    "*-*-1..7",
    "Mon *-*-01 1:2",
    "5min",
    "1h",
    "0",
    "",
    "Fri..Mon",
    "*-*~1",
    "2027-01-01",
    "UTC",
    "daily UTC",
    "1:00 Europe/Berlin",
    "1:00 Mars/Olympus",
    "99:99",
    "é",
    "*:*:*",
    "0/0:0",
    "1..0:5",
    "*-13-1",
    "infinity",
    "-1",
    "true",
    "no",
    "99999999999d",
];
/// Keys of timers, and one that is none.
const TIMERS: &[&str] = &[
    "OnCalendar",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "OnBootSec",
    "OnActiveSec",
    "RandomizedDelaySec",
    "Persistent",
    "FixedRandomDelay",
    "AccuracySec",
    "WakeSystem",
    "OnClock",
];

fn check_timer(lines: &[(&str, &str)], kind: &str) -> Result<(), TestCaseError> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let lines: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let files = [folder.path().join("a.timer"), folder.path().join("a.service")];
    fs::write(&files[0], format!("[Unit]\nDescription=x\nAfter=b.service\n[Timer]\n{lines}")).expect("written");
    fs::write(&files[1], format!("[Service]\nType={kind}\nRestart=always\nExecStart=/bin/a\n")).expect("written");
    let home = Some(PathBuf::from("/home/ada"));
    let around = Around { target: PathBuf::from("/srv/x"), home, docker: false, system: false };
    let format = setpoint::import::find("systemd").expect("systemd");
    let imported = import(format, &files, &around).expect("files that can be read");
    for source in &imported.sources {
        for leaf in Key::root(source).leaves().iter().filter(|leaf| !leaf.path.is_empty()) {
            prop_assert_eq!(imported.report.covering(leaf), 1, "{:?} of {}", leaf.path, lines);
        }
    }
    for draft in &imported.drafts {
        let loaded = load_text(draft.yaml().as_bytes(), Form::Yaml, &LoadContext { folder: PathBuf::from("/") });
        prop_assert!(loaded.is_ok(), "{}\n{}", draft.yaml(), loaded.expect_err("problems"));
    }
    Ok(())
}

/// Pieces of lines of a crontab.
const LINES: &[&str] = &[
    "0 3 * * *",
    "*/5 * * * *",
    "@reboot",
    "@daily",
    "5/15 * * * *",
    "22-2 0 * * *",
    "0 0 31 2 *",
    "root",
    "/bin/a",
    "cd /x &&",
    "%",
    "\\%",
    "a%b%%c",
    "A=b",
    "SHELL=/bin/bash",
    "SHELL=",
    "SHELL = \"a b\"",
    "MAILTO=\"\"",
    "CRON_TZ=Europe/Berlin",
    "CRON_TZ=x",
    "RANDOM_DELAY=5",
    "RANDOM_DELAY=x",
    "HOME=/h",
    "HOME=x",
    "USER=y",
    "'a b'=c",
    "# words",
    "",
    "-",
    "=",
    "\u{85}",
    "\u{0}",
    "é",
    "line",
    "3",
    "flock -n x",
    "\"",
    "'",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_and_values_of_every_sort(sections in prop::collection::vec(section(), 1..4)) {
        for format in FORMATS {
            check(format, text(format, &sections).as_bytes())?;
        }
    }

    #[test]
    fn lines_of_crontabs(lines in prop::collection::vec(prop::collection::vec(prop::sample::select(LINES), 0..6), 0..8)) {
        let text: String = lines.iter().map(|words| format!("{}\n", words.join(" "))).collect();
        check(setpoint::import::find("crontab").expect("crontab"), text.as_bytes())?;
    }

    #[test]
    fn timers_of_every_sort(
        lines in prop::collection::vec((prop::sample::select(TIMERS), prop::sample::select(TIMES)), 0..6),
        kind in prop::sample::select(&["simple", "oneshot"][..]),
    ) {
        check_timer(&lines, kind)?;
    }

    #[test]
    fn bytes_of_every_sort(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[ -~\n\t\\[\\]=:#;%$\"']{0,200}") {
        for format in FORMATS {
            check(format, &bytes)?;
            check(format, text.as_bytes())?;
        }
    }
}
