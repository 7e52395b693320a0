//! supervisord.conf, and files of its conf.d.
//!
//! In: `[program:x]` and what stands around it. Out: a Service per program. Not here: files that `[include]` names; they
//! are imported by naming them.
//!
//! supervisord executes a list of words and signals the one process it started, unless `stopasgroup` says otherwise; so
//! `run` is a list here, and a line (whose whole group is signalled) with `stopasgroup`.
//! The surprise: `numprocs` is `replicas`, unless `%(process_num)d` makes the processes differ: then each is a Service.

use std::sync::Arc;

use serde_json::json;

use super::source::{Key, Node};
use super::words::{self, Piece};
use super::work::{Rule, Rules, Work};
use super::{Fate, Format, Import, ini, procfile};
use crate::kind::units::Size;
use crate::load::Problem;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "supervisord",
    about: "supervisord.conf, and files of its conf.d",
    files: &["supervisord*.conf", "supervisor*.conf", "*.supervisor.conf"],
    read,
    import,
};

const KEYS: Rules = &[
    ("command", Rule::To(command)),
    ("directory", Rule::To(directory)),
    ("environment", Rule::To(environment)),
    ("user", Rule::To(|work, key| work.plain(key, "user"))),
    ("umask", Rule::To(|work, key| work.plain(key, "umask"))),
    ("numprocs", Rule::To(numprocs)),
    ("numprocs_start", Rule::To(|work, key| work.said(key, "name", "replicas are numbered from 0"))),
    ("process_name", Rule::To(process_name)),
    ("autostart", Rule::To(autostart)),
    ("autorestart", Rule::To(autorestart)),
    ("exitcodes", Rule::To(exitcodes)),
    ("startsecs", Rule::To(startsecs)),
    ("startretries", Rule::To(startretries)),
    ("stopsignal", Rule::To(|work, key| work.signal(key, "stop.signal"))),
    ("stopwaitsecs", Rule::To(|work, key| work.grace(key, key.text().and_then(|text| words::span(text, "s"))))),
    ("stopasgroup", Rule::To(|work, key| work.same(key, "run"))),
    ("killasgroup", Rule::To(|work, key| work.same(key, "stop"))),
    (
        "redirect_stderr",
        Rule::To(|work, key| work.said(key, "log", "both streams are in one log, each line marked with its own")),
    ),
    ("stdout_logfile", Rule::To(logfile)),
    ("stderr_logfile", Rule::To(logfile)),
    ("stdout_logfile_maxbytes", Rule::To(maxbytes)),
    ("stderr_logfile_maxbytes", Rule::To(maxbytes)),
    ("stdout_logfile_backups", Rule::To(backups)),
    ("stderr_logfile_backups", Rule::To(backups)),
    ("stdout_capture_maxbytes", Rule::Drop(EVENTS)),
    ("stderr_capture_maxbytes", Rule::Drop(EVENTS)),
    ("stdout_events_enabled", Rule::Drop(EVENTS)),
    ("stderr_events_enabled", Rule::Drop(EVENTS)),
    ("stdout_syslog", Rule::Drop(SYSLOG)),
    ("stderr_syslog", Rule::Drop(SYSLOG)),
    ("priority", Rule::Drop("there is no order by number; `needs` names what must be up before")),
    ("serverurl", Rule::Drop("there is no XML-RPC server to reach")),
];

const EVENTS: &str = "events are not taken from the output of a process";
const SYSLOG: &str = "output goes to the log that `setpoint logs` shows, not to syslog";
const OWN: &str = "this is about supervisord itself; setpoint has a socket and a log of its own";

fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    ini::read(ini::Dialect::Supervisord, file, text)
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let mut sections = root.fields();
    // Programs first: some keys of [supervisord] are theirs, too.
    sections.sort_by_key(|section| (!section.name().starts_with("program:"), section.place.line));
    if sections.iter().any(|section| section.name().starts_with("program:")) {
        import.report.note(procfile::INHERITED);
    }
    let groups: Vec<(String, Vec<String>)> = sections.iter().filter_map(|section| group(import, section)).collect();
    for section in &sections {
        match section.name().split_once(':') {
            Some(("program", name)) => program(import, root, section, name.trim(), &groups),
            Some(("group", _)) => {
                import.report.drop_rest("", section, "groups have no order here; `needs` says what waits")
            }
            Some(("eventlistener", _)) => {
                import.report.drop_rest("", section, "setpoint has no listeners for supervisord's events")
            }
            Some(("fcgi-program", _)) => import.report.drop_rest("", section, "setpoint hands no socket to a process"),
            Some(("rpcinterface" | "ctlplugin", _)) => import.report.drop_rest("", section, OWN),
            None if section.name() == "include" => {
                let why = "files it names are not followed: import them by name, too";
                import.report.drop_rest("", section, why);
            }
            None if ["supervisord", "supervisorctl", "unix_http_server", "inet_http_server"]
                .contains(&section.name()) =>
            {
                import.report.drop_rest("", section, OWN);
            }
            _ => {}
        }
    }
}

/// The name of a group, and its programs.
fn group(import: &mut Import<'_>, section: &Key<'_>) -> Option<(String, Vec<String>)> {
    let name = section.name().strip_prefix("group:")?.trim().to_owned();
    let programs = section.get("programs")?;
    let how = "a group is a label: `-l group=NAME` selects it; it is not stopped and started as one";
    import.report.mark("", &programs, Fate::Approximated, "labels.group", how);
    let names = programs.text().unwrap_or_default().split(',').map(|name| name.trim().to_owned()).collect();
    Some((name, names))
}

fn program(import: &mut Import<'_>, root: &Key<'_>, section: &Key<'_>, name: &str, groups: &[(String, Vec<String>)]) {
    let count = section.get("numprocs").and_then(|key| key.count()).unwrap_or(1);
    let from = section.get("numprocs_start").and_then(|key| key.count()).unwrap_or(0);
    let is_numbered = |key: &str| section.text_of(key).is_some_and(|text| text.contains("%(process_num)"));
    let differ = count > 1 && ["command", "environment", "directory"].into_iter().any(is_numbered);
    let numbers = if differ { from..from.saturating_add(count.min(1000)) } else { from..from + 1 };
    for number in numbers {
        let wanted = if differ { format!("{name}-{number}") } else { name.to_owned() };
        let here = import.folder.to_string_lossy().into_owned();
        let mut work = import.service(&wanted, section);
        work.vars = [
            ("program_name", name.to_owned()),
            ("process_num", number.to_string()),
            ("here", here),
            ("numprocs", count.to_string()),
        ]
        .into();
        let group = groups.iter().find(|(_, programs)| programs.iter().any(|program| program == name));
        work.vars.insert("group_name", group.map_or(name, |(group, _)| group).to_owned());
        if let Some((group, _)) = group {
            work.draft.inside("labels", "group", json!(group));
        }
        if differ {
            work.vars.insert("differ", String::new());
        }
        if let Some(key) = root.get("supervisord").and_then(|own| own.get("environment")) {
            environment(&mut work, &key);
        }
        for own in ["directory", "umask"] {
            let key = root.get("supervisord").and_then(|section| section.get(own));
            key.iter().filter(|_| section.get(own).is_none()).for_each(|key| work.own(own, key));
        }
        work.draft.set("restart", json!("on-failure"));
        work.apply(KEYS, section);
        work.default_dir();
        if work.draft.get("run").is_some() {
            work.finish();
        } else {
            let why = "a program without a `command` that can be read is no service";
            work.report.drop_rest("", section, why);
        }
    }
}

impl Work<'_> {
    /// Text as it is, with placeholders put in.
    fn plain(&mut self, key: &Key<'_>, field: &str) {
        match expand(self, key).as_deref().and_then(words::literal) {
            Some(text) if !text.trim().is_empty() => self.map(key, field, text),
            _ => self.odd(key, "text"),
        }
    }

    fn own(&mut self, name: &str, key: &Key<'_>) {
        if name == "directory" { directory(self, key) } else { self.plain(key, "umask") }
    }
}

/// A value with `%(name)s` put in; `%(ENV_NAME)s` becomes a variable.
fn expand(work: &Work<'_>, key: &Key<'_>) -> Option<Vec<Piece>> {
    expand_text(work, key.text()?)
}

fn expand_text(work: &Work<'_>, text: &str) -> Option<Vec<Piece>> {
    let mut rest = text;
    let mut plain = String::new();
    let mut found = Vec::new();
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            plain.push('%');
            rest = after;
            continue;
        }
        let (name, after) = rest.strip_prefix('(')?.split_once(')')?;
        let form = after.find(['s', 'd'])?;
        rest = after.get(form + 1..)?;
        if let Some(name) = name.strip_prefix("ENV_").filter(|name| words::is_variable(name)) {
            found.push(Piece::Text(std::mem::take(&mut plain)));
            found.push(Piece::Variable { name: name.to_owned(), default: None });
            continue;
        }
        let value = work.vars.get(name)?;
        // `02d` pads with zeros.
        let width = after.get(..form)?.parse::<usize>().unwrap_or(0).min(20);
        plain.push_str(&format!("{value:0>width$}"));
    }
    plain.push_str(rest);
    found.push(Piece::Text(plain));
    found.retain(|piece| *piece != Piece::Text(String::new()));
    Some(found)
}

fn command(work: &mut Work<'_>, key: &Key<'_>) {
    let words = expand(work, key).and_then(|pieces| words::split_pieces(&pieces));
    let Some(words) = words.filter(|words| !words.is_empty()) else {
        return work.drop(key, "it has a quote without an end, or a placeholder that setpoint does not know");
    };
    let is_group = work.section.get("stopasgroup").and_then(|key| key.bool()) == Some(true);
    let plain: Option<Vec<String>> = words.iter().map(|word| words::literal(word)).collect();
    match plain {
        Some(argv) if is_group => work.map(key, "run", words::join(&argv)),
        Some(argv) => work.map(key, "run", argv),
        None => {
            let line = words.iter().map(|word| words::shell_word(word)).collect::<Vec<_>>().join(" ");
            let names = words.iter().flat_map(|word| words::variables(word));
            names.for_each(|name| work.draft.push("inheritEnv", json!(name)));
            work.near(key, "run", line, "a shell puts in what %(ENV_..)s names, at each start");
        }
    }
}

fn directory(work: &mut Work<'_>, key: &Key<'_>) {
    let text = expand(work, key).as_deref().and_then(words::literal);
    match text.and_then(|text| work.path(&text)) {
        Some(dir) => work.map(key, "dir", dir),
        None => work.odd(key, "path"),
    }
}

fn environment(work: &mut Work<'_>, key: &Key<'_>) {
    let Some(pairs) = key.text().and_then(pairs) else {
        return work.odd(key, "list of KEY=\"value\"");
    };
    work.same(key, "env");
    for (name, value) in pairs {
        let Some(value) = expand_text(work, &value) else {
            work.said(key, "", &format!("{name} is left out: it has a placeholder that setpoint does not know"));
            continue;
        };
        match (&*value, words::literal(&value)) {
            _ if !words::is_variable(&name) => {
                work.said(key, "", &format!("{} is no name of a variable here", crate::load::quote(&name)))
            }
            (_, Some(text)) => work.draft.set_env(&name, json!(text)),
            ([Piece::Variable { name: from, .. }], None) => {
                work.draft.set_env(&name, json!({ "fromEnv": from }));
                work.said(key, "env", &format!("{name} is read from the environment of the controller at each start"));
            }
            _ => work.said(key, "", &format!("{name} is left out: text with %(ENV_..)s inside has no like here")),
        }
    }
}

/// `A="1",B=2`, over any number of lines.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_matches(|c: char| c.is_whitespace() || c == ',');
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, after) = match after.chars().next().filter(|mark| matches!(mark, '"' | '\'')) {
            Some(mark) => after.get(1..)?.split_once(mark)?,
            None => after.split_at(after.find([',', '\n']).unwrap_or(after.len())),
        };
        pairs.push((name.trim().to_owned(), value.trim_end_matches(['\n', '\r']).to_owned()));
        rest = after.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    Some(pairs)
}

fn numprocs(work: &mut Work<'_>, key: &Key<'_>) {
    if work.vars.contains_key("differ") {
        return work.said(key, "name", "its processes differ by their number, so each is a service of its own");
    }
    if work.section.get("autostart").and_then(|key| key.bool()) == Some(false) {
        return work.said(key, "replicas", "it is 0 as long as autostart=false");
    }
    work.count(key, "replicas", 0, 1000);
}

fn process_name(work: &mut Work<'_>, key: &Key<'_>) {
    let usual = ["%(program_name)s", "%(program_name)s_%(process_num)02d", "%(program_name)s_%(process_num)d"];
    match key.text() {
        Some(text) if usual.contains(&text) => work.same(key, "name"),
        _ => work.drop(key, "an instance is named after its service: service/NAME/0"),
    }
}

fn autostart(work: &mut Work<'_>, key: &Key<'_>) {
    match key.bool() {
        Some(true) => work.same(key, "replicas"),
        Some(false) => work.near(key, "replicas", 0, "`replicas: 0` keeps it down; raise it to start it"),
        None => work.odd(key, "boolean"),
    }
}

fn autorestart(work: &mut Work<'_>, key: &Key<'_>) {
    match (key.text(), key.bool()) {
        (Some("unexpected"), _) => work.map(key, "restart", "on-failure"),
        (_, Some(true)) => work.map(key, "restart", "always"),
        (_, Some(false)) => work.map(key, "restart", "never"),
        _ => work.odd(key, "restart rule"),
    }
}

fn exitcodes(work: &mut Work<'_>, key: &Key<'_>) {
    if key.text().is_some_and(|text| text.trim() == "0") {
        return work.same(key, "restart");
    }
    work.said(key, "restart", "only an exit with 0 counts as expected");
}

fn startsecs(work: &mut Work<'_>, key: &Key<'_>) {
    match key.text().and_then(|text| words::span(text, "s")) {
        // Ready after a second of life is what a service is anyway.
        Some(span) if span.as_millis() == 1000 => work.same(key, "ready.delay"),
        Some(span) if span.is_zero() => work.said(key, "ready", "it is ready after 1s, not at once"),
        span => work.duration(key, "ready.delay", span),
    }
}

fn startretries(work: &mut Work<'_>, key: &Key<'_>) {
    let how = "deaths within 1m of a start count (backoff.resetAfter), not those within startsecs";
    match key.count().filter(|count| *count < 1_000_000) {
        Some(count) => work.near(key, "backoff.giveUpAfter", count + 1, how),
        None => work.odd(key, "whole number"),
    }
}

fn logfile(work: &mut Work<'_>, key: &Key<'_>) {
    let how = match key.text().unwrap_or_default() {
        "AUTO" => return work.same(key, "log"),
        "NONE" | "/dev/null" => "output is kept anyway, as much as `log` says",
        "/dev/stdout" | "/dev/fd/1" | "/dev/stderr" | "/dev/fd/2" | "syslog" => "`setpoint logs` shows it",
        _ => "output is kept by setpoint and not in this file: `setpoint logs`",
    };
    work.said(key, "log", how);
}

fn maxbytes(work: &mut Work<'_>, key: &Key<'_>) {
    let Some(bytes) = key.text().and_then(words::size) else { return work.odd(key, "size") };
    let known = work.draft.get("log.maxSize").and_then(|size| size.as_str()?.parse::<Size>().ok());
    let (bytes, how) = match bytes {
        0 => (1 << 40, "a log file has an end: 1Ti"),
        1..4096 => (4096, "a log file has at least 4Ki"),
        _ => (bytes, ""),
    };
    if let Some(Size(known)) = known.filter(|known| known.0 != bytes) {
        work.draft.set("log.maxSize", json!(Size(bytes.max(known)).to_string()));
        return work.said(key, "log.maxSize", "both streams share one log; the larger size counts");
    }
    if how.is_empty() {
        work.map(key, "log.maxSize", Size(bytes).to_string());
    } else {
        work.near(key, "log.maxSize", Size(bytes).to_string(), how);
    }
}

fn backups(work: &mut Work<'_>, key: &Key<'_>) {
    let known = work.draft.get("log.maxFiles").and_then(serde_json::Value::as_u64);
    match (key.count(), known) {
        // The file being written counts, too.
        (Some(count), None) if count < 1000 => work.map(key, "log.maxFiles", count + 1),
        (Some(count), Some(known)) if count < 1000 => {
            let how = "both streams share one log; the larger number counts";
            work.near(key, "log.maxFiles", known.max(count + 1), how);
        }
        (Some(_), _) => work.near(key, "log.maxFiles", 1000, "at most 1000 files are kept"),
        (None, _) => work.odd(key, "whole number"),
    }
}
