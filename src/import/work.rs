//! One object while its keys are mapped.
//!
//! In: a table of rules and a map of the source. Out: fields of a draft, and a mark for every key.
//! Not here: the rules of any format.
//! The surprise: an INI key that was written several times counts once, the last time, unless its rule asks for each.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration as StdDuration;

use serde_json::{Value, json};

use super::draft::Names;
use super::source::{Key, Value as Source};
use super::systemd::failure::Failures;
use super::{Around, Draft, Fate, Report};
use crate::kind::units::{Duration, Signal, Size};
use crate::kind::{cronjob, mailbox, quiethours, trigger};

/// What becomes of a key.
pub enum Rule {
    /// This is done with it.
    To(fn(&mut Work<'_>, &Key<'_>)),
    /// This is done with each of several.
    Each(fn(&mut Work<'_>, &Key<'_>)),
    /// It is dropped, for this reason.
    Drop(&'static str),
}

/// Keys and what becomes of them; a `*` at the end stands for anything.
pub type Rules = &'static [(&'static str, Rule)];

/// One object in the making.
#[derive(Debug)]
pub struct Work<'a> {
    /// The manifest.
    pub draft: Draft,
    /// What is said about it.
    pub report: &'a mut Report,
    /// Its part of the source.
    pub section: Key<'a>,
    /// What the import started from.
    pub around: &'a Around,
    /// The folder its relative paths start from, absolute.
    pub folder: PathBuf,
    /// Where it goes when it is done.
    pub drafts: &'a mut Vec<Draft>,
    /// The names given so far.
    pub names: &'a mut Names,
    /// What stands beside it, and goes with it.
    pub beside: Vec<Draft>,
    /// What may be needed: names in the source, and as they are valid here.
    pub peers: &'a BTreeMap<String, String>,
    /// What units of systemd became, by their stems.
    pub units: &'a mut BTreeMap<String, String>,
    /// What units of systemd name by `OnFailure=`.
    pub failures: &'a mut Failures,
    /// What the placeholders of the source stand for here.
    pub vars: BTreeMap<&'static str, String>,
}

/// Why a key without a rule is dropped.
pub const UNKNOWN: &str = "setpoint knows no such key of this format";

/// The longest grace.
const GRACE_MAX: StdDuration = StdDuration::from_secs(3600);

impl Work<'_> {
    /// Does what the rules say with every key of a map; keys without a rule stay unmarked.
    pub fn apply(&mut self, rules: Rules, map: &Key<'_>) {
        for key in map.fields() {
            let name = key.name().to_owned();
            let is_meant = |pattern: &str| match pattern.strip_suffix('*') {
                Some(head) => name.starts_with(head),
                None => pattern == name,
            };
            let Some((_, rule)) = rules.iter().find(|(pattern, _)| is_meant(pattern)) else { continue };
            match (rule, &key.node.value) {
                (Rule::Drop(why), _) => self.drop(&key, why),
                (Rule::Each(rule), _) => key.items().iter().for_each(|item| rule(self, item)),
                (Rule::To(rule), Source::Repeated(_)) => {
                    let mut items = key.items();
                    let last = items.pop();
                    items.iter().for_each(|item| self.drop(item, "it is written again below, and the last one counts"));
                    last.iter().for_each(|item| rule(self, item));
                }
                (Rule::To(rule), _) => rule(self, &key),
            }
        }
    }

    /// It is done. What the loader would refuse is taken out again, and said.
    pub fn finish(mut self) {
        self.report.drop_rest(&self.draft.name, &self.section, UNKNOWN);
        self.switched_off();
        self.forget_beside();
        for field in self.draft.take_foreign() {
            let kind = self.draft.kind.kind;
            let why = match &*field {
                "restart" | "backoff" => format!("a {kind} that fails is repeated as often as its `retry` says"),
                "ready" | "live" => format!("a {kind} is not asked whether it is up: it ends"),
                "needs" => format!("a {kind} waits for its time and for nothing else"),
                _ => format!("a {kind} has no `{field}`"),
            };
            self.report.refuse(&self.draft.name, &field, &why);
        }
        // What an agent is told is done where that agent is.
        if self.draft.get("prompt").is_some() && self.draft.get("when.command").is_none() {
            self.draft.remove(&["dir".to_owned()]);
        }
        // Every turn takes a field away, so it ends; a field that stays wrong is the loader's to explain.
        for _ in 0..20 {
            if !self.does_something() {
                break;
            }
            let faults = self.draft.faults();
            if faults.is_empty() {
                break;
            }
            for fault in faults {
                // An item of a list cannot be missing, so its list goes.
                let steps = fault.path.iter().take_while(|step| step.parse::<usize>().is_err());
                let path: Vec<String> = steps.take(2).cloned().collect();
                let why = format!("what it says {}", fault.what);
                self.draft.remove(&path);
                self.report.refuse(&self.draft.name, &path.join("."), &why);
            }
        }
        if self.does_something() {
            self.drafts.push(self.draft);
            self.drafts.append(&mut self.beside);
        } else {
            self.report.refuse(&self.draft.name, "", "there is nothing to run, so nothing came of it");
        }
    }

    /// What is kept down as a Service is switched off as anything else.
    fn switched_off(&mut self) {
        let has_switch = [cronjob::DEF.lower, trigger::DEF.lower].contains(&self.draft.kind.lower);
        if has_switch && self.draft.get("replicas") == Some(&json!(0)) {
            self.draft.remove(&["replicas".to_owned()]);
            self.draft.set("enabled", json!(false));
            self.report.moved(&self.draft.name, "replicas", "enabled", "`enabled: true` switches it on");
        }
    }

    /// True when it has what an object of its kind is nothing without.
    fn does_something(&self) -> bool {
        let fields: &[&str] = match self.draft.kind.lower {
            lower if lower == mailbox::DEF.lower => &["rules"],
            lower if lower == quiethours::DEF.lower => &["times"],
            _ => &["run", "use", "prompt"],
        };
        fields.iter().any(|field| self.draft.get(field).is_some())
    }

    /// The key means the same as this field here.
    pub fn map(&mut self, key: &Key<'_>, field: &str, value: impl Into<Value>) {
        self.draft.set(field, value.into());
        self.same(key, field);
    }

    /// The key means what is as it is anyway, or what was set before.
    pub fn same(&mut self, key: &Key<'_>, field: &str) {
        self.report.mark(&self.draft.name, key, Fate::Mapped, field, "");
    }

    /// The key means nearly the same as this field here.
    pub fn near(&mut self, key: &Key<'_>, field: &str, value: impl Into<Value>, how: &str) {
        self.draft.set(field, value.into());
        self.said(key, field, how);
    }

    /// The key is carried over by what was set before, and differs.
    pub fn said(&mut self, key: &Key<'_>, field: &str, how: &str) {
        self.report.mark(&self.draft.name, key, Fate::Approximated, field, how);
    }

    /// The key is not carried over.
    pub fn drop(&mut self, key: &Key<'_>, why: &str) {
        self.report.mark(&self.draft.name, key, Fate::Dropped, "", why);
    }

    /// The value cannot be read.
    pub fn odd(&mut self, key: &Key<'_>, wanted: &str) {
        self.drop(key, &format!("its value is no {wanted} that setpoint can read"));
    }

    /// Something of the source that it waits for; `until` as it is written here, or nothing.
    pub fn need(&mut self, key: &Key<'_>, other: &str, until: Option<&str>, how: &str) {
        let Some(name) = self.peers.get(other).filter(|name| **name != self.draft.name) else {
            return self.drop(key, "nothing of that name is imported with it");
        };
        let need = until.map_or_else(|| json!(name), |until| json!({ "name": name, "until": until }));
        self.draft.push("needs", need);
        let field = format!("needs.{name}");
        if how.is_empty() { self.same(key, &field) } else { self.said(key, &field, how) }
    }

    /// Text as it is.
    pub fn text(&mut self, key: &Key<'_>, field: &str) {
        match key.text().filter(|text| !text.trim().is_empty()) {
            Some(text) => self.map(key, field, text),
            None => self.odd(key, "text"),
        }
    }

    /// A boolean.
    pub fn flag(&mut self, key: &Key<'_>, field: &str) {
        match key.bool() {
            Some(is) => self.map(key, field, is),
            None => self.odd(key, "boolean"),
        }
    }

    /// A label of the object.
    pub fn label(&mut self, key: &Key<'_>, name: &str) {
        match key.text() {
            Some(text) => self.label_of(key, name, text),
            None => self.odd(key, "text"),
        }
    }

    /// A label with this value.
    pub fn label_of(&mut self, key: &Key<'_>, name: &str, text: &str) {
        self.told_as("labels", key, (name, text), 256);
    }

    /// An annotation of the object.
    pub fn annotation(&mut self, key: &Key<'_>, name: &str) {
        match key.text() {
            Some(text) => self.annotation_of(key, name, text),
            None => self.odd(key, "text"),
        }
    }

    /// An annotation with this value.
    pub fn annotation_of(&mut self, key: &Key<'_>, name: &str, text: &str) {
        self.told_as("annotations", key, (name, text), 64 << 10);
    }

    fn told_as(&mut self, map: &str, key: &Key<'_>, (name, text): (&str, &str), bytes_max: usize) {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let has_room = self.draft.get(map).and_then(Value::as_object).is_none_or(|map| map.len() < 64);
        let is_name = !name.is_empty() && name.len() <= 128 && name.bytes().all(is_plain);
        if !is_name || !has_room || text.len() > bytes_max || text.contains('\0') {
            let why = "at most 64 short texts, named with letters, digits, `-`, `_`, `.` and `/`, can be given";
            return self.drop(key, why);
        }
        self.draft.inside(map, name, json!(text));
        self.same(key, &format!("{map}.{name}"));
    }

    /// A duration.
    pub fn duration(&mut self, key: &Key<'_>, field: &str, span: Option<StdDuration>) {
        match span.map(span_text) {
            None => self.odd(key, "duration"),
            Some(Err(rounded)) => self.near(key, field, rounded, "it is rounded to milliseconds"),
            Some(Ok(text)) => self.map(key, field, text),
        }
    }

    /// The time between asking a process to stop and killing it.
    pub fn grace(&mut self, key: &Key<'_>, span: Option<StdDuration>) {
        match span {
            Some(span) if span > GRACE_MAX => self.near(key, "stop.grace", "1h", "the longest grace is 1h"),
            span => self.duration(key, "stop.grace", span),
        }
    }

    /// The same pause before every restart.
    pub fn pause(&mut self, key: &Key<'_>, span: Option<StdDuration>) {
        match span {
            None => return self.odd(key, "duration"),
            Some(span) if span < StdDuration::from_millis(10) => {
                return self.said(key, "backoff.from", "the shortest pause after a crash is 10ms; it is left at 1s");
            }
            Some(span) => {
                self.duration(key, "backoff.from", Some(span));
                self.draft.set("backoff.factor", json!(1));
                if span > StdDuration::from_secs(60) {
                    let from = self.draft.get("backoff.from").cloned().unwrap_or_default();
                    self.draft.set("backoff.to", from);
                }
            }
        }
        self.said(key, "backoff", "the pause counts from the previous start, so who lived longer is back at once");
    }

    /// A signal, by name or number.
    pub fn signal(&mut self, key: &Key<'_>, field: &str) {
        match key.text().and_then(|text| text.trim().parse::<Signal>().ok()) {
            Some(signal) => self.map(key, field, signal.to_string()),
            None => self.odd(key, "signal"),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn count(&mut self, key: &Key<'_>, field: &str, least: u64, most: u64) {
        match key.count() {
            Some(count) if (least..=most).contains(&count) => self.map(key, field, count),
            Some(_) => self.drop(key, &format!("it is not between {least} and {most}")),
            None => self.odd(key, "whole number"),
        }
    }

    /// A number of bytes with the units these tools share, all powers of 1024.
    pub fn size(&mut self, key: &Key<'_>, field: &str) {
        match key.text().and_then(super::words::size) {
            Some(bytes) => self.map(key, field, Size(bytes).to_string()),
            None => self.odd(key, "size"),
        }
    }

    /// The folder it starts in.
    pub fn dir(&mut self, key: &Key<'_>) {
        match key.text().map(|text| self.path(text)) {
            Some(Some(dir)) => self.map(key, "dir", dir),
            Some(None) | None => self.odd(key, "path"),
        }
    }

    /// The folder it starts in when nothing says so.
    pub fn default_dir(&mut self) {
        if let Some(dir) = self.path(".").filter(|dir| dir != ".")
            && self.draft.get("dir").is_none()
        {
            self.draft.set("dir", json!(dir));
        }
    }

    /// A path of the source as it reads from where the manifest will stand.
    #[must_use]
    pub fn path(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let path = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                self.around.home.as_ref()?.join(rest.trim_start_matches('/'))
            }
            _ if text.is_empty() => return None,
            _ if text.starts_with('/') => return Some(text.to_owned()),
            _ => self.folder.join(text),
        };
        relative(&self.around.target, &path)
    }
}

/// A duration as it is written here; `Err` when only a rounded one can be.
fn span_text(span: StdDuration) -> Result<String, String> {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(999_999_999_999);
    // Nine digits of one unit is what a manifest takes; what is longer is rounded down to seconds.
    let kept = if millis > 999_999_999 { millis / 1000 * 1000 } else { millis };
    let text = Duration(StdDuration::from_millis(kept)).to_string();
    if StdDuration::from_millis(kept) == span { Ok(text) } else { Err(text) }
}

/// `path` as it reads from `base`; absolute where nothing but the root is common to both.
#[must_use]
pub fn relative(base: &Path, path: &Path) -> Option<String> {
    let (base, path) = (flat(base), flat(path));
    let common = base.iter().zip(&path).take_while(|(a, b)| a == b).count();
    if common == 0 || base.is_empty() {
        return Some(format!("/{}", path.join("/")));
    }
    let up = std::iter::repeat_n("..".to_owned(), base.len() - common);
    let way: Vec<String> = up.chain(path.get(common..).unwrap_or_default().iter().cloned()).collect();
    Some(if way.is_empty() { ".".to_owned() } else { way.join("/") })
}

/// The names on the way from the root, without `.` and `..`.
fn flat(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(names.pop()),
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::relative;

    #[test]
    fn a_path_reads_from_where_the_manifest_stands() {
        for (base, path, written) in [
            ("/srv/app", "/srv/app", "."),
            ("/srv/app/manifests", "/srv/app", ".."),
            ("/srv/app/manifests", "/srv/app/web", "../web"),
            ("/srv/app", "/srv/app/./a/../web", "web"),
            ("/etc/a", "/srv/app", "/srv/app"),
            ("/", "/srv", "/srv"),
        ] {
            assert_eq!(relative(Path::new(base), Path::new(path)).as_deref(), Some(written), "{base} {path}");
        }
    }
}
