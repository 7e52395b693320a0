//! Compose services as `docker run`, and what only a container has.
//!
//! In: a service with an image. Out: `run: docker run ...`. Not here: what means the same with and without a container.
//! The surprise: variables are handed over by name (`-e NAME`), so that no value stands in a command line that everybody
//! can read; and limits go to docker, since those of the manifest would only hold its client.

use serde_json::json;

use super::source::{Key, Value};
use super::words::{self, Piece};
use super::work::Work;
use crate::kind::units::Size;

/// What is true of every container that is started so.
pub const NOTE: &str = "docker run is the process that is kept up: when it is killed and not stopped, its container may stay (docker rm -f NAME); containers find each other by name only on a network of their own (docker network create)";

/// A key that `docker run` takes, and that means nothing without a container.
pub fn own(work: &mut Work<'_>, key: &Key<'_>, why: &str) {
    if !work.vars.contains_key("docker") {
        return work.drop(key, why);
    }
    if key.name() != "volumes" {
        return work.same(key, "run");
    }
    for item in key.items() {
        match volume(work, &item) {
            None => work.drop(&item, "this form of a volume is not known"),
            Some(text) if text.starts_with(['/', '.']) || !text.contains(':') => work.same(&item, "run"),
            Some(_) => work.said(&item, "run", "the volume has no project's name in front, so it begins empty"),
        }
    }
}

/// A limit: of the process, or of its container.
pub fn limit(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    if work.vars.contains_key("docker") {
        return work.same(key, "run");
    }
    let Some(text) = work.fill(key) else { return };
    let value = match field {
        "limits.memory" => words::size(&text).map(|bytes| json!(Size(bytes).to_string())),
        "limits.cpu" => text.parse::<f64>().ok().filter(|cores| *cores > 0.0).map(|cores| match cores.fract() == 0.0 {
            true => json!(cores as u64),
            false => json!(cores),
        }),
        _ => text.parse::<u64>().ok().map(|count| json!(count)),
    };
    match value {
        Some(value) => work.map(key, field, value),
        None => work.odd(key, "limit"),
    }
}

/// `65536`, or `{ soft: 1024, hard: 65536 }`.
pub fn ulimit(work: &mut Work<'_>, key: &Key<'_>, field: &str) {
    if work.vars.contains_key("docker") {
        return work.same(key, "run");
    }
    match (key.get("soft"), key.get("hard")) {
        (Some(soft), hard) => {
            work.count(&soft, field, 0, u64::from(u32::MAX));
            hard.iter().for_each(|hard| work.said(hard, field, "the soft limit is taken for both"));
        }
        (None, Some(hard)) => work.count(&hard, field, 0, u64::from(u32::MAX)),
        (None, None) => work.count(key, field, 0, u64::from(u32::MAX)),
    }
}

/// The words of a command: a list as it is, a text as a shell splits it; `${NAME}` still in them.
#[must_use]
pub fn words_of(key: &Key<'_>) -> Option<Vec<Vec<Piece>>> {
    match (&key.node.value, key.text()) {
        (Value::Null, _) => Some(Vec::new()),
        (_, Some(line)) => words::split_pieces(&words::pieces(line)?),
        _ => key.texts()?.iter().map(|word| words::pieces(word).map(not_empty)).collect(),
    }
}

fn not_empty(pieces: Vec<Piece>) -> Vec<Piece> {
    if pieces.is_empty() { vec![Piece::Text(String::new())] } else { pieces }
}

/// Sets `run` to the command that starts the container.
pub fn command(work: &mut Work<'_>, service: &Key<'_>) {
    let mut line: Vec<String> = ["exec", "docker", "run", "--rm"].map(str::to_owned).into();
    let is_one = work.draft.get("replicas").is_none_or(|count| *count == json!(1));
    if let Some(name) = work.vars.get("docker").filter(|_| is_one) {
        line.extend(["--name".to_owned(), words::quoted(name)]);
    }
    let text =
        |name: &str| service.text_of(name).and_then(words::pieces).map(|pieces| words::shell_word(&not_empty(pieces)));
    for (key, flag) in FLAGS {
        line.extend(text(key).into_iter().flat_map(|value| [(*flag).to_owned(), value]));
    }
    let limits = service.get("deploy").and_then(|key| key.get("resources")?.get("limits"));
    for (key, flag) in [("memory", "--memory"), ("cpus", "--cpus"), ("pids", "--pids-limit")] {
        let value = limits.as_ref().and_then(|limits| limits.text_of(key));
        line.extend(value.into_iter().flat_map(|value| [flag.to_owned(), words::quoted(value)]));
    }
    for (key, flag) in [("init", "--init"), ("tty", "--tty")] {
        line.extend(service.get(key).and_then(|key| key.bool()).filter(|is| *is).map(|_| flag.to_owned()));
    }
    for (key, flag) in [("ports", "--publish"), ("extra_hosts", "--add-host")] {
        let items = service.get(key).map(|key| key.items()).unwrap_or_default();
        line.extend(items.iter().filter_map(|item| port(item)).flat_map(|port| [flag.to_owned(), port]));
    }
    for item in service.get("volumes").map(|key| key.items()).unwrap_or_default() {
        line.extend(volume(work, &item).into_iter().flat_map(|volume| ["--volume".to_owned(), words::quoted(&volume)]));
    }
    let ulimits = service.get("ulimits").map(|key| key.fields()).unwrap_or_default();
    for ulimit in ulimits {
        let value = match (ulimit.text(), ulimit.text_of("soft"), ulimit.text_of("hard")) {
            (Some(both), _, _) => both.to_owned(),
            (None, Some(soft), hard) => format!("{soft}:{}", hard.unwrap_or(soft)),
            _ => continue,
        };
        line.extend(["--ulimit".to_owned(), words::quoted(&format!("{}={value}", ulimit.name()))]);
    }
    let env: Vec<String> = work
        .draft
        .get("env")
        .and_then(|env| env.as_object())
        .map(|env| env.keys().cloned().collect())
        .unwrap_or_default();
    let inherited = work.draft.get("inheritEnv").and_then(|list| list.as_array()).cloned().unwrap_or_default();
    let inherited = inherited.iter().filter_map(|name| name.as_str().map(str::to_owned));
    line.extend(env.into_iter().chain(inherited).flat_map(|name| ["--env".to_owned(), name]));
    // docker reads such files itself, into the container; paths start from the folder of the service, as here.
    let files = service.get("env_file").map(|key| key.items()).unwrap_or_default();
    let files = files.iter().filter_map(|file| file.text().or(file.text_of("path")));
    line.extend(files.flat_map(|file| ["--env-file".to_owned(), words::quoted(file)]));
    work.draft.remove(&["tty".to_owned()]);
    arguments(work, service, line);
}

/// Keys with one value, and their flag.
const FLAGS: &[(&str, &str)] = &[
    ("hostname", "--hostname"),
    ("network_mode", "--network"),
    ("working_dir", "--workdir"),
    ("user", "--user"),
    ("mem_limit", "--memory"),
    ("cpus", "--cpus"),
    ("pids_limit", "--pids-limit"),
];

/// The image and what follows it.
fn arguments(work: &mut Work<'_>, service: &Key<'_>, mut line: Vec<String>) {
    let words = |name: &str| service.get(name).map_or(Some(Vec::new()), |key| words_of(&key));
    let image = service.text_of("image").and_then(words::pieces).map(not_empty);
    let (Some(image), Some(entrypoint), Some(command)) = (image, words("entrypoint"), words("command")) else { return };
    let shell = |word: &Vec<Piece>| words::shell_word(word);
    line.extend(entrypoint.first().into_iter().flat_map(|program| ["--entrypoint".to_owned(), shell(program)]));
    line.push(shell(&image));
    line.extend(entrypoint.iter().skip(1).chain(&command).map(shell));
    for name in [&image].into_iter().chain(&entrypoint).chain(&command).flat_map(|word| words::variables(word)) {
        work.draft.push("inheritEnv", json!(name));
    }
    work.draft.set("run", json!(line.join(" ")));
}

/// `8080:80`, or a map of the same; variables still in it.
fn port(item: &Key<'_>) -> Option<String> {
    if let Some(text) = item.text() {
        return words::pieces(text).map(|pieces| words::shell_word(&pieces));
    }
    let target = item.text_of("target")?;
    let protocol = item.text_of("protocol").map(|protocol| format!("/{protocol}")).unwrap_or_default();
    let published = item.text_of("published").map(|published| format!("{published}:")).unwrap_or_default();
    Some(words::quoted(&format!("{published}{target}{protocol}")))
}

/// `./data:/data:ro`, or a map of the same; the folder of this machine as docker takes it, absolute.
fn volume(work: &Work<'_>, item: &Key<'_>) -> Option<String> {
    let text = match item.text() {
        Some(text) => text.to_owned(),
        None => {
            let read_only = if item.get("read_only").and_then(|key| key.bool()) == Some(true) { ":ro" } else { "" };
            let source = item.text_of("source").map(|source| format!("{source}:")).unwrap_or_default();
            format!("{source}{}{read_only}", item.text_of("target")?)
        }
    };
    if words::pieces(&text).is_none_or(|pieces| words::variables(&pieces).next().is_some()) {
        return None;
    }
    let Some((source, rest)) = text.split_once(':').filter(|(source, _)| source.starts_with(['.', '~'])) else {
        return Some(text);
    };
    let path = match source.strip_prefix("~/") {
        Some(below) => work.around.home.as_ref()?.join(below),
        None => work.folder.join(source),
    };
    let path = super::work::relative(std::path::Path::new("/"), &path)?;
    Some(format!("{path}:{rest}"))
}
