//! The `sidecar:` section of work-buddy's config.yaml.
//!
//! In: services, windows of quiet, how often messages are fetched. Out: a Service each, QuietHours, a Mailbox.
//! Not here: job files, which are read as they stand; sections of the file that are about something else.
//!
//! A service is asked at /health, as the sidecar does; one that is slow to load has its 45 s before that counts.
//! The surprise: what is not of the sidecar means what it did, since the programs go on reading that file themselves.

use serde_json::{Value, json};

use super::source::Key;
use super::work::{Rule, Rules, Work};
use super::{Fate, Format, Import, TWICE, procfile, source, words};
use crate::kind::{mailbox, quiethours};

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "work-buddy",
    about: "config.yaml of work-buddy, with its section `sidecar`",
    files: &["work-buddy*.yaml", "work-buddy/config.yaml"],
    read: |file, text| {
        source::yaml_with(file, text, "sidecar", "its services are `sidecar: { services: { web: { module: web } } }`")
    },
    import,
};

/// The port of the messaging service where none is named.
const MESSAGING: u64 = 5123;

/// One service.
const SERVICE: Rules = &[
    ("module", Rule::To(|work, key| work.same(key, "run"))),
    ("args", Rule::To(|work, key| if key.texts().is_some() { work.same(key, "run") } else { work.odd(key, "list") })),
    ("port", Rule::To(port)),
    ("enabled", Rule::To(enabled)),
];

/// What the sidecar says of all of them.
const SHARED: Rules = &[
    ("python_executable", Rule::To(|work, key| work.same(key, "run"))),
    ("max_service_crashes", Rule::To(|work, key| work.count(key, "backoff.giveUpAfter", 1, 1_000_000))),
    ("restart_backoff_base", Rule::To(|work, key| work.duration(key, "backoff.from", span(key)))),
];

/// The same of those that are asked.
const PROBES: Rules = &[
    ("health_probe_interval", Rule::To(probe_interval)),
    ("health_probe_timeout", Rule::To(probe_timeout)),
    ("health_failure_threshold", Rule::To(|work, key| work.count(key, "live.failure", 1, 1000))),
];

/// Keys that become nothing, and why.
const DROPPED: &[(&str, &str)] = &[
    ("agent_spawn", "this is for an Agent, and this version has none: then it is its `driver` and `limits`"),
    ("dispatch_stall_warn_seconds", "a long run holds up nothing here; `timeout` ends one that takes too long"),
    ("heartbeat", "nothing goes round here: `heartbeat` of a Service reminds one that wants it"),
    ("message_poll_interval", "the messaging service is switched off, so there is nobody to ask"),
    ("max_service_crashes", NOBODY),
    ("restart_backoff_base", NOBODY),
    ("health_check_interval", NOBODY),
    ("health_probe_interval", NOBODY),
    ("health_probe_timeout", NOBODY),
    ("health_failure_threshold", NOBODY),
    ("python_executable", NOBODY),
];

const NOBODY: &str = "no service is there that it could be about";
const SYSTEM_JOBS: &str = "files of this folder are read as they stand: `setpoint controller start -f` follows it";
const USER_JOBS: &str =
    "files of this folder are read as they stand: put them into `jobs` of the home, or follow it with -f";

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(sidecar) = root.get("sidecar") else { return };
    import.report.note(procfile::INHERITED);
    let services = sidecar.get("services").map(|services| services.fields()).unwrap_or_default();
    for service in &services {
        supervised(import, &sidecar, service);
    }
    messages(import, root, &sidecar, &services);
    let has_quiet = quiet(import, root, &sidecar);
    for (name, why) in [("jobs_dir", SYSTEM_JOBS), ("user_jobs_dir", USER_JOBS)] {
        for key in sidecar.get(name).iter() {
            match key.text().is_some_and(|dir| !dir.is_empty()) {
                true => import.report.mark("", key, Fate::Approximated, "", why),
                false => import.report.mark("", key, Fate::Mapped, "", ""),
            }
        }
    }
    for (name, why) in DROPPED {
        sidecar.get(name).iter().for_each(|key| import.report.drop_rest("", key, why));
    }
    for key in root.fields().iter().filter(|key| key.name() != "sidecar") {
        match (key.name(), has_quiet) {
            ("timezone", true) => {
                let why = "job files are read on the clock of `timeZone` of Settings: write it there, too";
                import.report.mark("", key, Fate::Approximated, "timeZone", why);
            }
            ("timezone", false) => {
                let why =
                    "schedules are read on the clock of `timeZone` of Settings, else of the machine: write it there";
                import.report.mark("", key, Fate::Approximated, "", why);
            }
            (_, _) => import.report.mark("", key, Fate::Mapped, "", ""),
        }
    }
    import.report.note(TWICE);
    import.report.note("what is not of the sidecar is read by the programs themselves, as before: keep the file");
    import.report.note(
        "a job file without `type` is a capability here and never a prompt; `setpoint validate -f` says which capabilities \
         are not there yet",
    );
}

/// A number is seconds.
fn span(key: &Key<'_>) -> Option<std::time::Duration> {
    key.text().and_then(|text| words::span(text, "s"))
}

fn supervised(import: &mut Import<'_>, sidecar: &Key<'_>, service: &Key<'_>) {
    let Some(module) = service.text_of("module").filter(|module| !module.trim().is_empty()) else {
        return import.report.drop_rest("", service, "without a `module` there is nothing to run");
    };
    let own = import.folder.join(".venv/bin/python");
    let mut work = import.service(service.name(), service);
    let python = match sidecar.text_of("python_executable") {
        Some(program) if !program.is_empty() => program.to_owned(),
        _ if own.is_file() => ".venv/bin/python".to_owned(),
        _ => {
            work.report
                .note("python3 of the controller's PATH runs the services, since no `.venv` stands beside the file");
            "python3".to_owned()
        }
    };
    let mut argv = vec![python, "-u".to_owned(), "-m".to_owned(), module.to_owned()];
    argv.extend(service.get("args").and_then(|args| args.texts()).unwrap_or_default());
    work.draft.set("run", json!(argv));
    work.default_dir();
    // What the sidecar gives its children, and how it deals with them when its file does not say so.
    work.draft.set_env("PYTHONUTF8", json!("1"));
    work.draft.set("backoff", json!({ "from": "5s", "to": "5m", "resetAfter": "10m", "giveUp": "always" }));
    work.apply(SERVICE, service);
    work.apply(SHARED, sidecar);
    if work.draft.get("live.http").is_some() {
        work.apply(PROBES, sidecar);
        sidecar.get("health_check_interval").iter().for_each(|key| check_interval(&mut work, key));
    }
    work.finish();
}

/// Its `/health` says whether it is up.
fn port(work: &mut Work<'_>, key: &Key<'_>) {
    let Some(port) = key.count().filter(|port| (1..65536).contains(port)) else { return work.odd(key, "port") };
    let address = format!(":{port}/health");
    work.draft.set("live", json!({ "http": address, "startup": "45s", "timeout": "2s" }));
    work.draft.set("ready.timeout", json!("2s"));
    work.near(key, "ready.http", address, "any answer from 200 to 399 is good, whatever its `status` says");
}

fn enabled(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "replicas"),
        Some(false) => work.near(key, "replicas", 0, "`replicas: 0` keeps it down; raise it to start it"),
        None => work.odd(key, "boolean"),
    }
}

/// The older name of what became an interval of its own.
fn check_interval(work: &mut Work<'_>, key: &Key<'_>) {
    match work.draft.get("live.period") {
        None => work.duration(key, "live.period", span(key)),
        Some(_) => work.said(key, "live", "an exit is seen at once, and a failed probe as soon as it counts"),
    }
}

fn probe_interval(work: &mut Work<'_>, key: &Key<'_>) {
    work.duration(key, "ready.period", span(key));
    work.duration(key, "live.period", span(key));
}

fn probe_timeout(work: &mut Work<'_>, key: &Key<'_>) {
    work.duration(key, "ready.timeout", span(key));
    work.duration(key, "live.timeout", span(key));
}

/// The messages for work-buddy, as the sidecar fetched them.
fn messages(import: &mut Import<'_>, root: &Key<'_>, sidecar: &Key<'_>, services: &[Key<'_>]) {
    let service = services.iter().find(|service| service.name() == "messaging");
    let is_on = |service: &Key<'_>| service.get("enabled").and_then(|key| key.bool()) != Some(false);
    let poll = sidecar.get("message_poll_interval");
    let Some(section) = poll.as_ref().or(service).filter(|_| service.is_none_or(is_on)) else { return };
    let named = root.get("messaging").and_then(|messaging| messaging.get("service_port")?.count());
    let port = named.or_else(|| service?.get("port")?.count()).unwrap_or(MESSAGING);
    let url = format!("http://localhost:{port}/messages");
    let mut work = import.object(&mailbox::DEF, "work-buddy", section);
    let every = poll.as_ref().and_then(span).filter(|span| span.as_secs() >= 1);
    let every = every.map_or("15s".to_owned(), |span| format!("{}s", span.as_secs()));
    let done = json!({ "url": format!("{url}/{{id}}"), "method": "PATCH", "body": { "status": "resolved" } });
    let ask = json!({ "url": format!("{url}?recipient=work-buddy&status=pending&limit=10") });
    work.draft.set("from", json!([{ "http": ask, "every": every, "items": "messages", "done": done }]));
    let rule = |name: &str| json!({ "name": name, "match": { "subject": name }, "use": name });
    work.draft.set("rules", json!(["sidecar_status", "sidecar_jobs", "noop"].map(rule)));
    // What is over is marked at the service, so nothing is fetched before somebody has read the rules.
    work.draft.set("enabled", json!(false));
    work.report.note(
        "mailbox/work-buddy is switched off: with `enabled: true`, what is fetched and over is marked resolved at the messaging \
         service, dead letters and messages for a session among it; write your rules first",
    );
    match &poll {
        Some(poll) if span(poll).is_none() => work.odd(poll, "number of seconds"),
        Some(poll) => {
            let how = "of the capabilities that a subject can name, the three that are built in have a rule; any other \
                       message is kept as a dead letter until you write a rule for it, and none becomes a prompt by \
                       itself; no answer is sent, and the list may leave out bodies";
            work.said(poll, "from, rules", how);
        }
        None => {
            work.report
                .note("messages for work-buddy are fetched every 15s, as the sidecar does by default; see `rules`");
        }
    }
    work.finish();
}

/// When nothing is to start. True when there is such a time.
fn quiet(import: &mut Import<'_>, root: &Key<'_>, sidecar: &Key<'_>) -> bool {
    let inside = sidecar.get("heartbeat").and_then(|heartbeat| heartbeat.get("exclusion_windows"));
    let Some(windows) = sidecar.get("exclusion_windows").or(inside) else { return false };
    if windows.items().is_empty() {
        import.report.mark("", &windows, Fate::Mapped, "", "");
        return false;
    }
    let mut work = import.object(&quiethours::DEF, "quiet-hours", &windows);
    if let Some(zone) = root.text_of("timezone") {
        work.draft.set("timeZone", json!(zone));
    }
    for window in windows.items() {
        match times(&window) {
            Some(times) => {
                times.into_iter().for_each(|time| work.draft.push("times", time));
                work.said(&window, "times", "a job that is to keep quiet then says so: `quiet: [quiet-hours]`");
            }
            None => work.drop(&window, "its times cannot be read: they are written as 23:00"),
        }
    }
    work.finish();
    import.drafts.iter().any(|draft| draft.kind.lower == quiethours::DEF.lower)
}

/// A window as it is here. One that ends on the next day counts there by the days of that one, so it is two.
fn times(window: &Key<'_>) -> Option<Vec<Value>> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let is_time = |text: &&str| {
        let (hours, minutes) = text.split_once(':').unwrap_or_default();
        let is = |digits: &str, below: u32| digits.len() == 2 && digits.parse::<u32>().is_ok_and(|n| n < below);
        is(hours, 24) && is(minutes, 60)
    };
    let (from, to) = (window.text_of("start").filter(is_time)?, window.text_of("end").filter(is_time)?);
    let days: Option<Vec<&str>> = match window.get("days") {
        None => None,
        Some(days) => {
            let name = |day: &Key<'_>| DAYS.get(usize::try_from(day.count()?).ok()?).copied();
            Some(days.items().iter().map(name).collect::<Option<Vec<&str>>>()?)
        }
    };
    let days = days.filter(|days| DAYS.iter().any(|day| !days.contains(day)));
    let one = |from: &str, to: &str| match &days {
        Some(days) => json!({ "days": days, "from": from, "to": to }),
        None => json!({ "from": from, "to": to }),
    };
    Some(match (from.cmp(to), &days) {
        (std::cmp::Ordering::Equal, _) => vec![one("00:00", "24:00")],
        (std::cmp::Ordering::Greater, Some(_)) if to == "00:00" => vec![one(from, "24:00")],
        (std::cmp::Ordering::Greater, Some(_)) => vec![one(from, "24:00"), one("00:00", to)],
        (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Greater, None) => vec![one(from, to)],
    })
}
