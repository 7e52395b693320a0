//! What other tools call things, and guesses at what was meant.
//!
//! In: a word that is no field or kind here. Out: what to write instead. Not here: where the word stands.
//! The surprise: people bring names from Kubernetes, Compose, systemd, supervisord and pm2, and a name from there
//! deserves its own answer rather than the nearest spelling.

/// What to say about a foreign field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It is called this here; a dot leads into a map.
    Use(&'static str),
    /// There is no such field, and this is why.
    Say(&'static str),
}

use Advice::{Say, Use};

const PROCESS: &str = "setpoint runs processes, not containers: write the command in `run`";
const PORTS: &str = "a process opens its ports itself; pass the number in `env` or in `run`";
const OUTPUT: &str = "output is kept anyway: `setpoint logs`; the field `log` limits how much";
const PAUSE: &str = "to keep a service down use `setpoint pause`, or `replicas: 0`";
const FLAT: &str = "there is no template around the process: write `run`, `env` and so on directly";
const SELECTOR: &str = "a Service is the process itself here, so there is nothing to select";
const SCHEDULE: &str = "a Service runs all the time; schedules are for the kind CronJob";

/// Fields of a spec, in lower case without `-` and `_`.
const FIELDS: &[(&str, Advice)] = &[
    ("after", Use("needs")),
    ("args", Say("the program and its arguments stand in one list: `run: [./server, --port, \"8080\"]`")),
    ("autorestart", Use("restart")),
    ("autostart", Say(PAUSE)),
    ("build", Say(PROCESS)),
    ("chdir", Use("dir")),
    ("cmd", Use("run")),
    ("command", Use("run")),
    ("containers", Say(PROCESS)),
    ("cpus", Use("limits")),
    ("cron", Say(SCHEDULE)),
    ("cwd", Use("dir")),
    ("dependson", Use("needs")),
    ("deploy", Say("write `replicas` and `restart` directly")),
    ("description", Say("put it in `annotations`")),
    ("directory", Use("dir")),
    ("disabled", Say(PAUSE)),
    ("enabled", Say(PAUSE)),
    ("entrypoint", Use("run")),
    ("environment", Use("env")),
    ("environmentfile", Use("envFile")),
    ("envfrom", Use("envFile")),
    ("errfile", Say(OUTPUT)),
    ("every", Say(SCHEDULE)),
    ("exec", Use("run")),
    ("execstart", Use("run")),
    ("expose", Say(PORTS)),
    ("healthcheck", Use("live")),
    ("image", Say(PROCESS)),
    ("instances", Use("replicas")),
    ("killsignal", Use("stop.signal")),
    ("killtimeout", Use("stop.grace")),
    ("livenessprobe", Use("live")),
    ("logging", Use("log")),
    ("maxretries", Use("backoff.giveUpAfter")),
    ("maxrestarts", Use("backoff.giveUpAfter")),
    ("maxmemoryrestart", Use("limits")),
    ("memlimit", Use("limits")),
    ("minuptime", Use("backoff.resetAfter")),
    ("namespace", Say("there are no namespaces: a name is unique within its kind")),
    ("networks", Say(PROCESS)),
    ("numprocs", Use("replicas")),
    ("outfile", Say(OUTPUT)),
    ("ports", Say(PORTS)),
    ("processes", Use("replicas")),
    ("program", Use("run")),
    ("readinessprobe", Use("ready")),
    ("requires", Use("needs")),
    ("resources", Use("limits")),
    ("restartdelay", Use("backoff.from")),
    ("restartpolicy", Use("restart")),
    ("restartsec", Use("backoff.from")),
    ("scale", Use("replicas")),
    ("schedule", Say(SCHEDULE)),
    ("script", Use("run")),
    ("selector", Say(SELECTOR)),
    ("standarderror", Say(OUTPUT)),
    ("standardoutput", Say(OUTPUT)),
    ("startlimitburst", Use("backoff.giveUpAfter")),
    ("startretries", Use("backoff.giveUpAfter")),
    ("startsecs", Use("backoff.resetAfter")),
    ("stderrlogfile", Say(OUTPUT)),
    ("stdoutlogfile", Say(OUTPUT)),
    ("stopgraceperiod", Use("stop.grace")),
    ("stopsignal", Use("stop.signal")),
    ("stopwaitsecs", Use("stop.grace")),
    ("suspend", Say(PAUSE)),
    ("template", Say(FLAT)),
    ("terminationgraceperiodseconds", Use("stop.grace")),
    ("timeoutstopsec", Use("stop.grace")),
    ("uid", Use("user")),
    ("volumes", Say(PROCESS)),
    ("wants", Use("needs")),
    ("workingdir", Use("dir")),
    ("workingdirectory", Use("dir")),
];

const ENABLED: &str = "to switch it off write `enabled: false`, or use `setpoint pause`";
const ONCE: &str = "a Job runs once; schedules are for the kind CronJob";
const ENDS: &str = "its work ends: an attempt that failed is repeated by `retry: { times: 3 }`";
const RUNS: &str = "its work ends; what is kept up is for the kind Service";
const JOB_TEMPLATE: &str = "there is no template around the work: write `run` and so on directly";

/// Fields that mean something else in these kinds than in a Service: the kinds, the field, what to say.
const OF_KINDS: &[(&[&str], &str, Advice)] = &[
    (WORKS, "activedeadlineseconds", Use("timeout")),
    (WORKS, "backoff", Say(ENDS)),
    (WORKS, "backofflimit", Use("retry")),
    (&["CronJob"], "concurrencypolicy", Use("overlap")),
    (&["CronJob"], "cron", Use("schedule")),
    (&["Job"], "cron", Say(ONCE)),
    (&["CronJob"], "crontab", Use("schedule")),
    (&["Capability", "Job", "Workflow"], "enabled", Say("to keep it from running use `setpoint pause`")),
    (&["Job"], "every", Say(ONCE)),
    (&["CronJob"], "failedjobshistorylimit", Use("history")),
    (&["CronJob"], "forbid", Use("overlap")),
    (&["CronJob"], "interval", Use("every")),
    (&["CronJob"], "jobtemplate", Say(JOB_TEMPLATE)),
    (&["CronJob"], "maxconcurrency", Use("atOnce")),
    (&["CronJob"], "persistent", Use("missed")),
    (&["Trigger"], "on", Use("event")),
    (&["Trigger"], "events", Use("event")),
    (&["Trigger"], "paths", Use("watch")),
    (&["Trigger"], "debounce", Use("settle")),
    (&["Trigger"], "debouncems", Use("settle")),
    (&["Trigger"], "actions", Use("then")),
    (&["Trigger"], "condition", Use("when")),
    (&["Trigger"], "disabled", Say(ENABLED)),
    (&["CronJob"], "oncalendar", Use("schedule")),
    (&["CronJob"], "randomizeddelaysec", Use("jitter")),
    (
        &["CronJob"],
        "recurring",
        Say("write `once: true` for what runs a single time; `recurring` is for Markdown jobs"),
    ),
    (WORKS, "replicas", Say(RUNS)),
    (WORKS, "restart", Say(ENDS)),
    (WORKS, "restartpolicy", Say(ENDS)),
    (WORKS, "retries", Use("retry")),
    (&["Job"], "runat", Use("at")),
    (&["Job"], "schedule", Say(ONCE)),
    (&["CronJob"], "startingdeadlineseconds", Use("missedWithin")),
    (&["CronJob"], "successfuljobshistorylimit", Use("history")),
    (&["CronJob"], "suspend", Say(ENABLED)),
    (&["Job"], "suspend", Say("to keep it from running use `setpoint pause`")),
    (&["CronJob"], "disabled", Say(ENABLED)),
    (WORKS, "template", Say(JOB_TEMPLATE)),
    (&["Job"], "ttlsecondsafterfinished", Use("keep")),
    (WORKS, "timezone", Use("timeZone")),
    (WORKS, "tz", Use("timeZone")),
    (WORKS, "inputs", Use("params")),
];

/// Kinds whose work ends.
const WORKS: &[&str] = &["Capability", "CronJob", "Job", "Trigger", "Workflow"];

/// Fields one level down: the field, its foreign neighbour, its name here.
const INNER: &[(&str, &str, &str)] = &[
    ("backoff", "delay", "from"),
    ("backoff", "initial", "from"),
    ("backoff", "limit", "giveUpAfter"),
    ("backoff", "max", "to"),
    ("backoff", "maxdelay", "to"),
    ("backoff", "maxretries", "giveUpAfter"),
    ("backoff", "min", "from"),
    ("backoff", "multiplier", "factor"),
    ("backoff", "reset", "resetAfter"),
    ("log", "backups", "maxFiles"),
    ("log", "files", "maxFiles"),
    ("log", "keep", "maxFiles"),
    ("log", "maxbackups", "maxFiles"),
    ("log", "size", "maxSize"),
    ("stop", "graceperiod", "grace"),
    ("stop", "killsignal", "signal"),
    ("stop", "timeout", "grace"),
    ("stop", "wait", "grace"),
];

/// Words that stand for a choice elsewhere: the field, the word, the choice here.
const CHOICES: &[(&str, &str, &str)] = &[
    ("restart", "false", "never"),
    ("restart", "no", "never"),
    ("restart", "onabnormal", "on-failure"),
    ("restart", "true", "always"),
    ("restart", "unexpected", "on-failure"),
    ("restart", "unlessstopped", "always"),
    ("restart", "yes", "always"),
    ("overlap", "forbid", "skip"),
    ("overlap", "concurrent", "allow"),
    ("missed", "never", "skip"),
    ("missed", "none", "skip"),
    ("missed", "latest", "once"),
    ("missed", "catchup", "all"),
];

/// Kinds of Kubernetes, and what to say about them.
const KINDS: &[(&str, &str)] = &[
    ("configmap", "there is no such kind: values stand in the `env` of a Service"),
    ("daemonset", "a process that is kept up is a `kind: Service` here"),
    ("deployment", "a process that is kept up is a `kind: Service` here"),
    ("ingress", "there is no such kind: processes open their ports themselves"),
    ("namespace", "there are no namespaces"),
    ("pod", "a process that is kept up is a `kind: Service` here"),
    ("replicaset", "a process that is kept up is a `kind: Service` here"),
    ("replicationcontroller", "a process that is kept up is a `kind: Service` here"),
    ("secret", "there is no such kind: values stand in the `env` of a Service"),
    ("statefulset", "a process that is kept up is a `kind: Service` here"),
];

/// What to say about a field of a spec that is called otherwise elsewhere. `known` are the fields of the kind: nobody is
/// sent to a field that it does not have.
#[must_use]
pub fn field(kind: &str, name: &str, known: &[&str]) -> Option<Advice> {
    let folded = fold(name);
    let is_there = |advice: &Advice| match advice {
        Use(here) => known.contains(&here.split('.').next().unwrap_or_default()),
        Say(_) => true,
    };
    let own = OF_KINDS.iter().find(|(kinds, foreign, _)| kinds.contains(&kind) && *foreign == folded);
    if let Some((_, _, advice)) = own {
        return Some(*advice).filter(is_there);
    }
    let is_of_services = |advice: &Advice| matches!(advice, Say(PAUSE | SCHEDULE | SELECTOR)) && kind != "Service";
    FIELDS
        .iter()
        .find(|(foreign, _)| *foreign == folded)
        .map(|(_, advice)| *advice)
        .filter(is_there)
        .filter(|advice| !is_of_services(advice))
}

/// The name here of a field inside `parent` that is called otherwise elsewhere.
#[must_use]
pub fn inner(parent: &str, name: &str) -> Option<&'static str> {
    let folded = fold(name);
    INNER.iter().find(|(field, foreign, _)| *field == parent && *foreign == folded).map(|(_, _, here)| *here)
}

/// The choice here for a word of `field` that is used elsewhere.
#[must_use]
pub fn choice(field: &str, word: &str) -> Option<&'static str> {
    let folded = fold(word);
    CHOICES.iter().find(|(of, foreign, _)| *of == field && *foreign == folded).map(|(_, _, here)| *here)
}

/// What to say about a kind of Kubernetes.
#[must_use]
pub fn kind(name: &str) -> Option<&'static str> {
    let folded = fold(name);
    KINDS.iter().find(|(foreign, _)| *foreign == folded).map(|(_, advice)| *advice)
}

/// The one of `known` that was probably meant: the same but for case, `-` and `_`, or two slips away at most.
#[must_use]
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no typing errors, and the distance costs the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let folded = fold(word);
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &fold(known));
    let nearest = known.into_iter().map(|known| (distance(known), known)).min_by_key(|(slips, _)| *slips)?;
    let slips_max = if folded.chars().count() <= 3 { 1 } else { 2 };
    (nearest.0 <= slips_max).then_some(nearest.1)
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}
