//! What is worth a word about a manifest that is valid: limits nothing enforces here, secrets in plain sight, schedules
//! that probably mean something else.
//!
//! In: specs, and the machine as far as control groups and zones go. Out: warnings. Not here: errors (`load`).
//! The surprise: a value is judged by the name of its variable, and is itself never repeated.

use serde_json::Value;

use super::Global;
use crate::controller::run::pid_of;
use crate::engine::Timestamp;
use crate::engine::schedule::Schedule;
use crate::execute::cgroup::{self, Domain};
use crate::home::Home;
use crate::load::{Loaded, Problem};
use crate::observe::clock;
use crate::observe::zones::Zones;

/// What names of variables that hold secrets end with.
const SECRET_ENDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "API_KEY",
    "_KEY",
    "_PASS",
    "_PWD",
    "SECRET_KEY_BASE",
];

/// How a controller comes by a group.
const GIVE: &str = "start the controller in a cgroup named setpoint-controller whose parent is its to use; in a systemd \
                    unit: Delegate=yes, DelegateSubgroup=setpoint-controller";

/// The group that the controller of this home was given; where none runs, the one a controller started here would be.
#[must_use]
pub fn domain(home: Option<&Home>) -> Option<Domain> {
    let running = home.and_then(pid_of).and_then(cgroup::given_to);
    running.or_else(|| cgroup::given_to(std::process::id()))
}

/// Adds what is worth a word about each object to what the load has said already.
pub fn add(global: &Global, loaded: &mut Loaded) {
    let home = Home::open_existing(global.home.as_deref()).ok().flatten();
    let domain = domain(home.as_ref());
    let (mut zones, now) = (Zones::new(), clock::wall());
    let has_times = loaded.manifests.iter().any(|manifest| manifest.spec.get("schedule").is_some());
    let zone = if has_times { super::cron::default_zone(global) } else { String::new() };
    for manifest in &loaded.manifests {
        let secrets = secrets(&manifest.spec);
        let limits = unenforced(&manifest.spec, domain.as_ref()).into_iter().map(|text| (text, GIVE.to_owned()));
        for (index, text, help) in schedules(&manifest.spec, &mut zones, (&zone, now)) {
            // A spec that reads one schedule as a list of one has them all in one place.
            let at = manifest.schedules.get(index).or_else(|| manifest.schedules.first());
            let mut problem = match at {
                Some(at) => at.clone(),
                None => Problem::of_file(&manifest.place.file, "", ""),
            };
            (problem.message, problem.help) = (format!("{}: {text}", manifest.id), help);
            loaded.warnings.push(problem);
        }
        for (text, help) in secrets.into_iter().chain(limits) {
            let mut problem = Problem::of_file(&manifest.place.file, format!("{}: {text}", manifest.id), help);
            problem.place = manifest.place.clone();
            loaded.warnings.push(problem);
        }
    }
}

/// The variables and headers whose literal values look like secrets, each with the way out.
fn secrets(spec: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let sources = spec.get("from").and_then(Value::as_array).map_or(0, Vec::len);
    let of_source = |index| ["http", "done"].map(|call| format!("from.{index}.{call}.headers"));
    let fields = ["env", "http.headers", "mcp.headers"].map(str::to_owned).into_iter();
    for field in fields.chain((0..sources).flat_map(of_source)) {
        let place = format!("/{}", field.replace('.', "/"));
        for (name, value) in spec.pointer(&place).and_then(Value::as_object).into_iter().flatten() {
            let is_header = field != "env";
            let spoken = if is_header { name.replace('-', "_") } else { name.clone() };
            let is_proof = is_header && matches!(&*spoken.to_ascii_lowercase(), "authorization" | "cookie");
            if !value.as_str().is_some_and(|text| is_proof || is_secret(&spoken, text)) {
                continue;
            }
            let file = spoken.to_ascii_lowercase();
            let text = format!("{field}.{name} looks like a secret, and a literal value is stored and shown");
            let help = format!("write where it is: {name}: {{ fromFile: secrets/{file} }}; also fromEnv, fromCommand");
            found.push((text, help));
        }
    }
    found
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_named = SECRET_ENDS.iter().any(|end| name.ends_with(end)) && !name.ends_with("PUBLIC_KEY");
    let is_path = value.starts_with(['/', '.', '~']);
    (is_named && !value.is_empty() && !is_path) || has_password(value)
}

/// True for `scheme://user:password@host`.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let user = authority.and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

/// What schedules probably do not mean, seen from `now`, each with where to see what they do; `zone` is that of schedules
/// which name none. Each comes with the place of its schedule in the list.
fn schedules(spec: &Value, zones: &mut Zones, (zone, now): (&str, Timestamp)) -> Vec<(usize, String, String)> {
    let texts: Vec<&str> = match spec.get("schedule") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(value) => value.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    let name = spec.get("timeZone").and_then(Value::as_str).unwrap_or(zone);
    // A zone that does not exist is an error of its own.
    let Ok(zone) = zones.get(name) else { return Vec::new() };
    let mut said = Vec::new();
    for (index, text) in texts.into_iter().enumerate() {
        let Ok(schedule) = Schedule::parse(text) else { continue };
        let warnings = schedule.warnings(now, &zone).into_iter();
        said.extend(warnings.map(|warning| {
            let help = format!("see when it is due: setpoint cron '{text}' --tz {name}");
            (index, format!("schedule `{text}`: {warning}"), help)
        }));
    }
    said
}

/// The limits of a spec that nothing enforces here, in words.
#[must_use]
pub fn unenforced(spec: &Value, domain: Option<&Domain>) -> Vec<String> {
    let has = |field: &str| spec.pointer(&format!("/limits/{field}")).is_some();
    let user = spec.get("user").and_then(Value::as_str);
    let controllers = domain.map(|domain| domain.controllers).unwrap_or_default();
    let why = |controller: &str| match domain {
        None => "no writable cgroup v2 was given to the controller".to_owned(),
        Some(domain) => format!("{} has no {controller} controller", domain.folder.display()),
    };
    let mut said = Vec::new();
    for (field, controller, is_there) in [
        ("memory", "memory", controllers.memory),
        ("cpu", "cpu", controllers.cpu),
        ("processes", "pids", controllers.pids),
    ] {
        if !has(field) || is_there {
            continue;
        }
        said.push(match user {
            Some(user) if field == "processes" && cgroup::counts_user(Some(user)) => {
                format!("limits.processes counts all processes of user {user} here: {}", why(controller))
            }
            Some(_) | None => format!("limits.{field} is not enforced here: {}", why(controller)),
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::execute::cgroup::Controllers;

    #[test]
    fn secrets_are_told_by_their_names() {
        let table = [
            ("GITHUB_TOKEN", "x", true),
            ("github_token", "x", true),
            ("AWS_SECRET_ACCESS_KEY", "x", true),
            ("PGPASSWORD", "x", true),
            ("DATABASE_URL", "postgres://web:hunter2@db/x", true),
            ("DATABASE_URL", "postgres://web@db/x?a=b:c@d", false),
            ("TOKEN", "", false),
            ("TOKEN_FILE", "/run/token", false),
            ("TLS_KEY", "/etc/tls/key.pem", false),
            ("SSH_PUBLIC_KEY", "ssh-ed25519 AAAA", false),
            ("MONKEY", "x", false),
            ("TOKEN_TTL", "300", false),
            ("PORT", "8080", false),
        ];
        for (name, value, expected) in table {
            assert_eq!(is_secret(name, value), expected, "{name}={value}");
        }
        let spec = json!({ "env": { "A_TOKEN": { "fromEnv": "X" }, "B_TOKEN": "hunter2" } });
        let said = secrets(&spec);
        assert_eq!(said.len(), 1);
        assert!(
            said.iter().all(|(text, help)| text.contains("B_TOKEN") && !format!("{text}{help}").contains("hunter2"))
        );
    }

    #[test]
    fn schedules_that_surprise_are_told_of() {
        // 2026-11-21.
        let now = Timestamp::from_nanos(1_795_219_200_000_000_000);
        let table = [
            (json!({ "schedule": "0 3 * * *" }), "", 0),
            (json!({ "schedule": "0 3 1 * 5", "timeZone": "UTC" }), "AND on every Friday", 1),
            (json!({ "schedule": ["@daily", "30 2 * * *"] }), "does not exist", 2),
            (json!({ "schedule": "30 2 * * *", "timeZone": "No/Where" }), "", 0),
            (json!({ "schedule": "@reboot" }), "", 0),
            (json!({ "every": "15m" }), "", 0),
        ];
        for (spec, word, count) in table {
            let said = schedules(&spec, &mut Zones::of(None), ("Europe/Berlin", now));
            assert_eq!(said.len(), count, "{spec}: {said:?}");
            assert!(said.first().is_none_or(|(_, text, _)| text.contains(word)), "{spec}: {said:?}");
        }
    }

    #[test]
    fn what_nothing_enforces_is_said() {
        let spec = json!({ "limits": { "memory": "1Mi", "cpu": 1, "processes": 1, "files": 1, "nice": 1 } });
        let mut mine = spec.clone();
        mine["user"] = json!("web");
        let domain = |controllers| Some(Domain { folder: "/g".into(), controllers });
        let all = Controllers { memory: true, cpu: true, pids: true };
        let (none, no) = (&[][..], "is not enforced here:");
        let table: &[(&Value, Option<Domain>, &[String])] = &[
            (&json!({}), None, none),
            (&spec, domain(all), none),
            (
                &spec,
                None,
                &["memory", "cpu", "processes"]
                    .map(|field| format!("limits.{field} {no} no writable cgroup v2 was given to the controller")),
            ),
            (
                &mine,
                domain(Controllers { cpu: true, ..Controllers::default() }),
                &[
                    format!("limits.memory {no} /g has no memory controller"),
                    "limits.processes counts all processes of user web here: /g has no pids controller".to_owned(),
                ],
            ),
        ];
        for (spec, domain, expected) in table {
            assert_eq!(unenforced(spec, domain.as_ref()), *expected, "{spec}");
        }
    }
}
