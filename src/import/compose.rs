//! compose.yaml of Docker.
//!
//! In: `services`. Out: a Service per service that has a command to run on this machine; with `--docker` also one per
//! image, as `docker run`. Not here: networks, volumes, builds; files that are merged: `docker compose config` prints the whole.
//!
//! A service that is built here (`build`) and has a `command` is somebody's own code, and that command runs here, in the
//! folder it is built from. A service from an image has its programs inside that image, so its command would fail or run
//! something else on this machine: it is dropped and said, unless `--docker` asks for the container itself.
//! The surprise: without `restart` compose starts once, so `restart: never` is written down.

use std::time::Duration;

use serde_json::json;

use super::beside::Watched;
use super::source::{Key, Value};
use super::work::{Rule, Rules, Work};
use super::{Format, Import, container, procfile, source, words};

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "compose",
    about: "compose.yaml of Docker: what has a local command, and with --docker what has an image",
    files: &["compose*.yaml", "compose*.yml", "docker-compose*.yaml", "docker-compose*.yml"],
    read: |file, text| {
        source::yaml_with(file, text, "services", "a service is `services: { web: { build: ., command: npm start } }`")
    },
    import,
};

const KEYS: Rules = &[
    ("command", Rule::To(|work, key| work.same(key, "run"))),
    ("entrypoint", Rule::To(|work, key| work.same(key, "run"))),
    ("image", Rule::To(image)),
    ("build", Rule::To(build)),
    ("working_dir", Rule::To(working_dir)),
    ("environment", Rule::To(|work, key| work.environment(key, true))),
    ("env_file", Rule::Each(env_file)),
    ("user", Rule::To(user)),
    ("depends_on", Rule::To(depends_on)),
    ("healthcheck", Rule::To(healthcheck)),
    ("restart", Rule::To(restart)),
    ("stop_signal", Rule::To(|work, key| work.signal(key, "stop.signal"))),
    ("stop_grace_period", Rule::To(|work, key| timed(work, key, |work, key, span| work.grace(key, span)))),
    ("scale", Rule::To(|work, key| work.count(key, "replicas", 0, 1000))),
    ("deploy", Rule::To(|work, key| work.apply(DEPLOY, key))),
    ("mem_limit", Rule::To(|work, key| container::limit(work, key, "limits.memory"))),
    ("cpus", Rule::To(|work, key| container::limit(work, key, "limits.cpu"))),
    ("pids_limit", Rule::To(|work, key| container::limit(work, key, "limits.processes"))),
    ("ulimits", Rule::To(|work, key| work.apply(ULIMITS, key))),
    ("oom_score_adj", Rule::To(oom_score)),
    ("tty", Rule::To(|work, key| work.flag(key, "tty"))),
    ("init", Rule::To(|work, key| work.same(key, "run"))),
    ("logging", Rule::To(|work, key| work.apply(LOGGING, key))),
    ("labels", Rule::To(labels)),
    ("profiles", Rule::To(profiles)),
    ("container_name", Rule::To(|work, key| container::own(work, key, "an object is named after its service"))),
    ("ports", Rule::To(|work, key| container::own(work, key, "a process opens its ports itself"))),
    (
        "volumes",
        Rule::To(|work, key| container::own(work, key, "a process sees the folders of the machine as they are")),
    ),
    ("hostname", Rule::To(|work, key| container::own(work, key, "a process has the name of the machine"))),
    ("network_mode", Rule::To(|work, key| container::own(work, key, "a process is on the network of the machine"))),
    ("extra_hosts", Rule::To(|work, key| container::own(work, key, "names are those of the machine: /etc/hosts"))),
    ("networks", Rule::Drop("there is no network of containers: services reach each other on localhost")),
    ("links", Rule::Drop("there is no network of containers: services reach each other on localhost")),
    ("expose", Rule::Drop("a process opens its ports itself")),
    ("dns*", Rule::Drop("names are those of the machine")),
    ("stdin_open", Rule::Drop("standard input is empty; `tty: true` gives it a terminal")),
    ("develop", Rule::To(develop)),
    ("extends", Rule::Drop("files are not merged: import what `docker compose config` prints")),
    ("secrets", Rule::Drop("a secret comes by `env: { NAME: { fromFile: PATH } }`")),
    ("configs", Rule::Drop("a configuration is a file of the machine")),
    ("pull_policy", Rule::Drop(INSIDE)),
    ("platform", Rule::Drop(INSIDE)),
    ("cap_*", Rule::Drop(INSIDE)),
    ("privileged", Rule::Drop(INSIDE)),
    ("security_opt", Rule::Drop(INSIDE)),
    ("sysctls", Rule::Drop(INSIDE)),
    ("devices", Rule::Drop(INSIDE)),
    ("tmpfs", Rule::Drop(INSIDE)),
    ("shm_size", Rule::Drop(INSIDE)),
    ("read_only", Rule::Drop(INSIDE)),
    ("ipc", Rule::Drop(INSIDE)),
    ("pid", Rule::Drop(INSIDE)),
    ("userns_mode", Rule::Drop(INSIDE)),
    ("cgroup*", Rule::Drop(INSIDE)),
    ("isolation", Rule::Drop(INSIDE)),
    ("group_add", Rule::Drop("a service has the groups of its user")),
    ("mem_*", Rule::Drop("of memory only a hard limit is set")),
    ("memswap_limit", Rule::Drop("of memory only a hard limit is set")),
    ("cpu*", Rule::Drop("of CPU only a limit of cores is set, `limits.cpu`")),
    ("annotations", Rule::To(annotations)),
    ("x-*", Rule::Drop("compose ignores it, too")),
];

const DEPLOY: Rules = &[
    ("replicas", Rule::To(|work, key| work.count(key, "replicas", 0, 1000))),
    ("restart_policy", Rule::To(|work, key| work.apply(RESTART_POLICY, key))),
    ("resources", Rule::To(|work, key| work.apply(RESOURCES, key))),
    ("labels", Rule::To(labels)),
    ("*", Rule::Drop("this is for a swarm of machines")),
];

const RESTART_POLICY: Rules = &[
    ("condition", Rule::To(restart)),
    ("delay", Rule::To(|work, key| timed(work, key, |work, key, span| work.pause(key, span)))),
    ("max_attempts", Rule::To(|work, key| work.count(key, "backoff.giveUpAfter", 0, 1_000_000))),
    (
        "window",
        Rule::To(|work, key| timed(work, key, |work, key, span| work.duration(key, "backoff.resetAfter", span))),
    ),
];

const RESOURCES: Rules = &[
    ("limits", Rule::To(|work, key| work.apply(RESOURCE_LIMITS, key))),
    ("reservations", Rule::Drop("nothing is reserved: there is one machine")),
];

const RESOURCE_LIMITS: Rules = &[
    ("cpus", Rule::To(|work, key| container::limit(work, key, "limits.cpu"))),
    ("memory", Rule::To(|work, key| container::limit(work, key, "limits.memory"))),
    ("pids", Rule::To(|work, key| container::limit(work, key, "limits.processes"))),
];

const ULIMITS: Rules = &[
    ("nofile", Rule::To(|work, key| container::ulimit(work, key, "limits.files"))),
    ("nproc", Rule::To(|work, key| container::ulimit(work, key, "limits.processes"))),
    ("core", Rule::To(|work, key| container::ulimit(work, key, "limits.core"))),
    ("*", Rule::Drop("of this kind of limit there is none in `limits`")),
];

const LOGGING: Rules = &[
    ("driver", Rule::To(|work, key| work.said(key, "log", "output is kept by setpoint: `setpoint logs`"))),
    ("options", Rule::To(|work, key| work.apply(LOG_OPTIONS, key))),
];

const LOG_OPTIONS: Rules = &[
    ("max-size", Rule::To(|work, key| work.size(key, "log.maxSize"))),
    ("max-file", Rule::To(|work, key| work.count(key, "log.maxFiles", 1, 1000))),
    ("*", Rule::Drop("output is kept as `log` says")),
];

const INSIDE: &str = "this is about the inside of a container";
const IMAGE: &str = "it runs from an image, whose programs are not on this machine; --docker makes it `docker run`";

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let Some(services) = root.get("services") else { return };
    let services = services.fields();
    import.peers = services.iter().map(|key| (key.name().to_owned(), super::draft::sane(key.name()))).collect();
    import.report.note(procfile::INHERITED);
    if import.folder.join(".env").is_file() {
        import.report.note("compose fills in ${NAME} from the .env beside its file, too; here it comes from the environment of the controller");
    }
    if import.around.docker {
        import.report.note(container::NOTE);
    }
    for service in &services {
        let is_local = service.get("build").is_some() || service.get("image").is_none();
        let mut work = import.service(service.name(), service);
        work.draft.set("restart", json!("never"));
        match (is_local && command(&mut work, service), work.around.docker && service.get("image").is_some()) {
            (_, true) => {
                work.vars.insert("docker", service.text_of("container_name").unwrap_or(&work.draft.name).to_owned());
                work.apply(KEYS, service);
                container::command(&mut work, service);
            }
            (true, false) => work.apply(KEYS, service),
            (false, false) => {
                let why = match is_local {
                    true if service.get("command").is_some() => {
                        "there is nothing to run that can be read, so it became no service"
                    }
                    true => "its command stands in a Dockerfile: write it here as `command`, too",
                    false => IMAGE,
                };
                work.report.drop_rest("", service, why);
            }
        }
        work.default_dir();
        work.finish();
    }
    for key in root.fields() {
        let why = match key.name() {
            "version" => "it is the version of the file's format",
            "name" => "a set is named with --set when it is applied",
            "networks" => "there is no network of containers: services reach each other on localhost",
            "volumes" => "a process sees the folders of the machine as they are",
            "secrets" => "a secret comes by `env: { NAME: { fromFile: PATH } }`",
            "configs" => "a configuration is a file of the machine",
            "include" => "files are not merged: import what `docker compose config` prints",
            name if name.starts_with("x-") => "compose ignores it, too",
            _ => continue,
        };
        import.report.drop_rest("", &key, why);
    }
}

/// Sets `run` from entrypoint and command; false when there is none.
fn command(work: &mut Work<'_>, service: &Key<'_>) -> bool {
    let mut words = Vec::new();
    let mut names = Vec::new();
    for key in ["entrypoint", "command"].iter().filter_map(|name| service.get(name)) {
        match container::words_of(&key) {
            Some(more) => words.extend(more),
            None => {
                work.drop(&key, "it has a quote without an end, or a variable in a form that is not known");
                return false;
            }
        }
        let used = words.iter().flat_map(|word| words::variables(word)).map(str::to_owned).collect::<Vec<_>>();
        if used.len() > names.len() {
            work.said(&key, "run", "a shell puts in its variables, at each start; compose did when it was started");
            names = used;
        }
    }
    if words.is_empty() {
        return false;
    }
    let plain: Option<Vec<String>> = words.iter().map(|word| words::literal(word)).collect();
    match plain {
        Some(argv) => work.draft.set("run", json!(argv)),
        None => {
            let line: Vec<String> = words.iter().map(|word| words::shell_word(word)).collect();
            work.draft.set("run", json!(format!("exec {}", line.join(" "))));
            names.iter().for_each(|name| work.draft.push("inheritEnv", json!(name)));
        }
    }
    true
}

/// A duration, with variables that have defaults in it.
fn timed(work: &mut Work<'_>, key: &Key<'_>, then: fn(&mut Work<'_>, &Key<'_>, Option<Duration>)) {
    if let Some(text) = work.fill(key) {
        then(work, key, words::span(&text, "s"));
    }
}

fn image(work: &mut Work<'_>, key: &Key<'_>) {
    container::own(work, key, "the command runs on this machine and not from the image");
}

/// The folder it is built from is where its code is.
fn build(work: &mut Work<'_>, key: &Key<'_>) {
    if work.vars.contains_key("docker") {
        return work.drop(key, "nothing is built: the image must be there");
    }
    let context = key.get("context").unwrap_or_else(|| key.clone());
    match work.fill(&context).and_then(|text| work.path(&text)) {
        Some(dir) => {
            work.near(&context, "dir", dir, "nothing is built: the command runs in the folder it is built from")
        }
        None => work.drop(&context, "nothing is built, and this is no folder here"),
    }
    for part in key.fields().iter().filter(|part| part.name() != "context") {
        work.drop(part, "nothing is built");
    }
}

fn working_dir(work: &mut Work<'_>, key: &Key<'_>) {
    container::own(work, key, "it is a folder inside the container; the service starts in the folder it is built from");
}

fn env_file(work: &mut Work<'_>, key: &Key<'_>) {
    let path = key.get("path").unwrap_or_else(|| key.clone());
    if work.vars.contains_key("docker") {
        return key.leaves().iter().for_each(|part| work.same(part, "run"));
    }
    let Some(file) = work.fill(&path).and_then(|text| work.path(&text)) else { return work.odd(&path, "path") };
    work.draft.push("envFile", json!(file));
    work.same(&path, "envFile");
    for part in key.fields().iter().filter(|part| part.name() != "path") {
        match (part.name(), part.bool()) {
            ("required", Some(true)) => work.same(part, "envFile"),
            ("required", _) => work.said(part, "envFile", "it must exist, or the start fails"),
            _ => work.drop(part, "there is one format of such files"),
        }
    }
}

fn user(work: &mut Work<'_>, key: &Key<'_>) {
    if work.vars.contains_key("docker") {
        return work.same(key, "run");
    }
    let Some(text) = work.fill(key) else { return };
    let (user, group) = text.split_once(':').unwrap_or((&text, ""));
    work.near(key, "user", user, "it is a user of this machine, not of the image");
    if !group.is_empty() {
        work.near(key, "group", group, "it is a group of this machine, not of the image");
    }
}

fn depends_on(work: &mut Work<'_>, key: &Key<'_>) {
    if !matches!(key.node.value, Value::Map(_)) {
        return key
            .items()
            .iter()
            .for_each(|item| work.need(item, item.text().unwrap_or_default(), Some("started"), ""));
    }
    for other in key.fields() {
        let condition = other.get("condition");
        let until = match condition.as_ref().and_then(|key| key.text()) {
            Some("service_healthy") => "ready",
            Some("service_completed_successfully") => "done",
            _ => "started",
        };
        work.need(condition.as_ref().unwrap_or(&other), other.name(), Some(until), "");
        for part in other.fields().iter().filter(|part| part.name() != "condition") {
            match (part.name(), part.bool()) {
                ("required", Some(true)) | ("restart", Some(false)) => work.same(part, "needs"),
                ("required", _) => work.said(part, "needs", "it is waited for"),
                ("restart", _) => work.drop(part, "a restart of another service is not passed on"),
                _ => {}
            }
        }
    }
}

fn healthcheck(work: &mut Work<'_>, key: &Key<'_>) {
    let is_off = key.get("disable").and_then(|key| key.bool()) == Some(true)
        || key.get("test").is_some_and(|test| test.items().first().and_then(|item| item.text()) == Some("NONE"));
    if is_off || key.get("test").is_none() {
        return key.leaves().iter().for_each(|part| match is_off {
            true => work.same(part, ""),
            false => work.drop(part, "the test stands in the image"),
        });
    }
    // Docker is more patient than setpoint, and a check that takes 2 s would never pass.
    work.draft.set("ready.period", json!("30s"));
    work.draft.set("ready.timeout", json!("30s"));
    for part in key.fields() {
        match part.name() {
            "test" => test(work, &part),
            "interval" => timed(work, &part, |work, key, span| work.duration(key, "ready.period", span)),
            "timeout" => timed(work, &part, |work, key, span| work.duration(key, "ready.timeout", span)),
            "start_period" => timed(work, &part, |work, key, span| work.duration(key, "ready.startup", span)),
            "retries" => work.count(&part, "ready.failure", 1, 1000),
            "start_interval" => work.said(&part, "ready.startup", "during a start it is asked more often by itself"),
            "disable" => work.same(&part, ""),
            _ => {}
        }
    }
}

fn test(work: &mut Work<'_>, key: &Key<'_>) {
    let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.replace("$$", "$")];
    let argv = match (key.text(), key.texts()) {
        (Some(line), _) => shell(line),
        (None, Some(words)) => match (words.first().map(String::as_str), words.get(1..)) {
            (Some("CMD-SHELL"), Some([line])) => shell(line),
            (Some("CMD"), Some(argv)) if !argv.is_empty() => argv.to_vec(),
            _ => return work.odd(key, "test"),
        },
        (None, None) => return work.odd(key, "test"),
    };
    let inside = work.vars.get("docker").map(|name| vec!["docker".to_owned(), "exec".to_owned(), name.clone()]);
    let argv: Vec<String> = inside.into_iter().flatten().chain(argv).collect();
    work.map(key, "ready.command", argv);
}

fn restart(work: &mut Work<'_>, key: &Key<'_>) {
    let Some(text) = work.fill(key) else { return };
    let (rule, count) = text.split_once(':').unwrap_or((&text, ""));
    match (rule, count.parse::<u64>()) {
        ("no" | "none" | "false" | "", _) => work.map(key, "restart", "never"),
        ("always" | "any", _) => work.map(key, "restart", "always"),
        ("unless-stopped", _) => {
            work.near(key, "restart", "always", "`setpoint pause` keeps it down, over restarts, too")
        }
        ("on-failure", Ok(count)) if (1..1_000_000).contains(&count) => {
            work.draft.set("restart", json!("on-failure"));
            let how = "deaths within 1m of a start count (backoff.resetAfter)";
            work.near(key, "backoff.giveUpAfter", count, how);
        }
        ("on-failure", _) => work.map(key, "restart", "on-failure"),
        _ => work.odd(key, "restart rule"),
    }
}

fn oom_score(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().and_then(|text| text.parse::<i64>().ok()) {
        Some(score) => work.map(key, "limits.oomScore", score),
        None => work.odd(key, "number"),
    }
}

/// Labels of containers are for tools that read containers; here they are annotations, which select nothing.
/// What starts a service anew when its files change. A process of this machine sees its files as they are.
fn develop(work: &mut Work<'_>, key: &Key<'_>) {
    for entry in key.get("watch").map(|watch| watch.items()).unwrap_or_default() {
        let Some(path) = entry.text_of("path") else { continue };
        let texts = |key: Key<'_>| key.items().iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        let ignore: Vec<String> = entry.get("ignore").map(texts).unwrap_or_default();
        match entry.text_of("action").unwrap_or_default() {
            "sync" => work.same(&entry, ""),
            "restart" | "sync+restart" => {
                work.restart_on(&entry, &Watched { paths: vec![path.to_owned()], ignore, settle: None });
            }
            "rebuild" => {
                work.restart_on(&entry, &Watched { paths: vec![path.to_owned()], ignore, settle: None });
                work.said(&entry, "", "nothing is built: put what builds it in front of `run`");
            }
            _ => {
                work.drop(&entry, "setpoint knows no such action: a Trigger with `watch` and `run` does anything else")
            }
        }
    }
}

fn labels(work: &mut Work<'_>, key: &Key<'_>) {
    if matches!(key.node.value, Value::Map(_)) {
        return annotations(work, key);
    }
    for item in key.items() {
        let (name, value) =
            item.text().and_then(|text| text.split_once('=')).unwrap_or((item.text().unwrap_or_default(), ""));
        work.annotation_of(&item, name, value);
    }
}

fn annotations(work: &mut Work<'_>, key: &Key<'_>) {
    for field in key.fields() {
        let name = field.name().to_owned();
        work.annotation(&field, &name);
    }
}

fn profiles(work: &mut Work<'_>, key: &Key<'_>) {
    for item in key.items() {
        let name = format!("profile.{}", item.text().unwrap_or_default());
        work.label_of(&item, &name, "true");
        work.said(&item, "", "it is applied with the others; `-l` selects it by this label");
    }
}
