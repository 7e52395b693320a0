//! The one kind of the tables: so many slots, or one instance per item, of one process.

use std::sync::Arc;
use std::time::Duration;

use setpoint::engine::backoff::GiveUp;
use setpoint::engine::expand::{ForEach, Items, Kind, Need, Restart, Up, Want};
use setpoint::engine::plan::{Command, Launch, Policy, Told};
use setpoint::engine::probe::{Check, Probe, Probes};
use setpoint::engine::{Cause, Revision};

use super::words::Words;

/// What the words behind `want` ask for.
pub struct Wanted<'a> {
    pub uid: &'a str,
    pub revision: Revision,
    pub fleet: Fleet,
}

/// Slot 0 to n-1 of one process, or one for each item.
#[derive(Debug)]
pub struct Fleet {
    causes: Vec<Cause>,
    up: Up,
    needs: Vec<Need>,
    for_each: Option<ForEach>,
}

impl Kind for Fleet {
    fn expand<'a>(&'a self, items: Option<&'a Items>, wants: &mut Vec<Want<'a>>) {
        let up = &self.up;
        match (&self.for_each, items) {
            (None, _) => wants.extend(self.causes.iter().map(|cause| Want { cause, up, item: None })),
            (Some(_), Some(items)) => {
                wants.extend(items.listed.iter().map(|(cause, item)| Want { cause, up, item: Some(item) }));
            }
            (Some(_), None) => {}
        }
    }
    fn revision_input(&self) -> String {
        String::new()
    }
    fn policy(&self) -> Policy {
        self.up.policy.clone()
    }
    fn needs(&self) -> &[Need] {
        &self.needs
    }
    fn for_each(&self) -> Option<&ForEach> {
        self.for_each.as_ref()
    }
}

/// Reads the words behind `want web`.
pub fn read<'a>(words: &mut Words<'a>) -> Wanted<'a> {
    let (mut replicas, mut uid, mut is_each) = (1, "u1", false);
    let mut revision = Revision { version: 1, hash: "A".into() };
    let (mut probes, mut needs) = (Probes::default(), Vec::new());
    let mut up = Up::new(Arc::new(Launch::new(Command::Argv(vec!["work".to_owned()]), "/")));
    while let Some(word) = words.next() {
        match word {
            "replicas" => replicas = words.number(),
            "rev" => revision = words.revision(),
            "uid" => uid = words.word(),
            "restart" => up.restart = restart(words),
            "from" => up.backoff.from = words.span(),
            "to" => up.backoff.to = words.span(),
            "reset" => up.backoff.reset_after = words.span(),
            "giveup" => up.backoff.give_up_after = words.number(),
            "unproven" => up.backoff.give_up = GiveUp::Unproven,
            "always" => up.backoff.give_up = GiveUp::Always,
            "never-gives-up" => up.backoff.give_up = GiveUp::Never,
            "stop" => up.policy.stop = words.policy().stop,
            "probed" => probes.ready = Some(probe(Check::Tcp { host: "localhost".into(), port: 80 })),
            "delayed" => probes.ready = Some(probe(Check::Delay(words.span()))),
            "told-by" => {
                up.policy.told = words.told();
                probes.ready = Some(probe(match &up.policy.told {
                    Told::ByLog(text) => Check::Log(text.clone()),
                    Told::ByNotify | Told::AtOnce => Check::Notify,
                }));
            }
            "lively" => probes.live = Some(probe(Check::Tcp { host: "localhost".into(), port: 81 })),
            "needs" => needs.push(words.need()),
            "adopts" => up.adopt = Some("^work$".into()),
            "each" => is_each = true,
            other => words.unknown(other),
        }
    }
    up.probes = Arc::new(probes);
    if is_each {
        let argv = ["work", "{item}", "{stem}", "{name}", "{other}"].map(str::to_owned).to_vec();
        up.launch = Arc::new(Launch::new(Command::Argv(argv), "/"));
    }
    needs.sort();
    let causes = (0..replicas).map(Cause::Slot).collect();
    let for_each = is_each.then(|| ForEach::Glob("/items/*.txt".into()));
    Wanted { uid, revision, fleet: Fleet { causes, up, needs, for_each } }
}

fn restart(words: &mut Words<'_>) -> Restart {
    match words.word() {
        "always" => Restart::Always,
        "on-failure" => Restart::OnFailure,
        "never" => Restart::Never,
        other => words.unknown(other),
    }
}

fn probe(check: Check) -> Probe {
    let (period, timeout, startup) = (Duration::from_secs(10), Duration::from_secs(1), Duration::ZERO);
    Probe { check, period, timeout, failure: 3, success: 1, startup }
}
