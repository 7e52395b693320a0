//! Objects that stand beside one that is imported: what starts it anew, or answers what happens to it.
//!
//! In: files, a schedule, an event, of the source. Out: a Trigger or a CronJob, when the object itself comes to anything.
//! Not here: which keys of a format say so.
//! The surprise: a restart is `setpoint restart`, run as any other work is, so it is recorded and has a log.

use serde_json::{Value, json};

use super::source::Key;
use super::work::Work;
use super::{Draft, words};
use crate::engine::schedule::Schedule;
use crate::kind::units::Duration;
use crate::kind::{KindDef, cronjob, service, trigger};

/// Files that are watched.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// As the source has them.
    pub paths: Vec<String>,
    /// Patterns of what does not count.
    pub ignore: Vec<String>,
    /// How long they have to be quiet.
    pub settle: Option<std::time::Duration>,
}

/// Why a restart is not quite what the source does.
pub const RESTARTS: &str = "a Trigger beside it runs `setpoint restart`, which has to be in the controller's PATH";

impl Work<'_> {
    /// It is started anew when files change.
    pub fn restart_on(&mut self, key: &Key<'_>, watched: &Watched) {
        let paths: Option<Vec<String>> = watched.paths.iter().map(|path| self.path(path)).collect();
        let Some(paths) = paths.filter(|paths| !paths.is_empty()) else { return self.odd(key, "list of paths") };
        let mut fields = vec![("watch", one_or_many(paths)), ("gitignore", json!(false)), ("run", self.restart())];
        if !watched.ignore.is_empty() {
            fields.push(("ignore", json!(watched.ignore)));
        }
        if let Some(settle) = watched.settle {
            fields.push(("settle", json!(Duration(settle).to_string())));
        }
        self.beside(&trigger::DEF, "watch", key, fields, RESTARTS);
    }

    /// It is started anew at these times.
    pub fn restart_at(&mut self, key: &Key<'_>) {
        match key.text().filter(|text| Schedule::parse(text).is_ok()) {
            Some(text) => {
                let fields = vec![("schedule", json!(text)), ("run", self.restart())];
                let how = "a CronJob beside it runs `setpoint restart`, which has to be in the controller's PATH";
                self.beside(&cronjob::DEF, "restart", key, fields, how);
            }
            None => self.odd(key, "schedule"),
        }
    }

    /// A line is run when this happens to it.
    pub fn answer(&mut self, key: &Key<'_>, event: &str, how: &str) {
        let Some(line) = key.text().or_else(|| key.text_of("run")).filter(|line| !line.trim().is_empty()) else {
            return self.odd(key, "command");
        };
        let when = format!("event.object == 'service/{}'", self.draft.name);
        let mut fields = vec![("event", json!(event)), ("when", json!(when)), ("run", json!(line))];
        fields.extend(self.path(".").filter(|dir| dir != ".").map(|dir| ("dir", json!(dir))));
        let name = words::kebab(key.name());
        self.beside(&trigger::DEF, &name, key, fields, how);
    }

    /// What is not kept up is not started anew, and nothing of a service happens to it.
    pub fn forget_beside(&mut self) {
        if self.draft.kind.lower == service::DEF.lower {
            return;
        }
        for draft in std::mem::take(&mut self.beside) {
            let (field, why) = (format!("{}/{}", draft.kind.lower, draft.name), "this is for what is kept up");
            self.report.refuse(&self.draft.name, &field, why);
        }
    }

    fn restart(&self) -> Value {
        json!(["setpoint", "restart", format!("service/{}", self.draft.name)])
    }

    fn beside(&mut self, kind: &'static KindDef, more: &str, key: &Key<'_>, fields: Vec<(&str, Value)>, how: &str) {
        let name = self.names.give(&format!("{}-{more}", self.draft.name));
        let mut draft = Draft::new(kind, name.clone(), format!("beside {}", self.draft.from));
        fields.into_iter().for_each(|(field, value)| draft.set(field, value));
        if !draft.faults().is_empty() {
            return self.drop(key, &format!("a {} cannot be made of what it says", kind.kind));
        }
        self.report.is_of(&name, kind.lower);
        self.beside.push(draft);
        self.said(key, &format!("{}/{name}", kind.lower), how);
    }
}

fn one_or_many(mut paths: Vec<String>) -> Value {
    match paths.len() {
        1 => json!(paths.pop()),
        _ => json!(paths),
    }
}
