//! Runs scripts against a real home, and prints what a person would read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use setpoint::desired::generation::Metadata;
use setpoint::desired::history::history;
use setpoint::desired::live::{Folder, Listing, plan as plan_live};
use setpoint::desired::resolve::resolve;
use setpoint::desired::{
    Author, Batch, Draft, Options, Origin, Proposal, Store, attempts::last_attempts, change, edit, render, to_engine,
};
use setpoint::engine::{InstanceId, ObjectRef};
use setpoint::home::Home;

/// A home in a temporary folder.
pub struct World {
    pub folder: tempfile::TempDir,
    pub home: Home,
    pub store: Store,
}

/// Runs each line of a script, and compares all they print. Paths of the temporary folder read as `$T`.
pub fn check(script: &str, expected: expect_test::Expect) {
    let world = World::new();
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let _ = writeln!(text, "> {}", words.join(" "));
        let said = world.act(words[0], &words[1..]);
        // A plan id covers the name of the set, and this one is named after the temporary folder.
        let is_plan = |line: &&str| line.starts_with("p-") && script.contains("$T");
        for said in said.lines() {
            let _ = writeln!(text, "{}", Some(said).filter(is_plan).map_or(said, |said| &said[10..]));
        }
    }
    expected.assert_eq(&text.replace(world.folder.path().to_str().unwrap(), "$T"));
}

/// What the words after `apply` and `diff` ask for.
#[derive(Default)]
pub struct Request {
    pub batch: Batch,
    options: Options,
    is_agreed: bool,
    expect: Option<String>,
    pub listing: Option<Listing>,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(Some(&folder.path().join("home"))).unwrap();
        let store = Store::open(&home);
        World { folder, home, store }
    }

    fn act(&self, verb: &str, words: &[&str]) -> String {
        match verb {
            "apply" => self.apply(&self.request(words), true),
            "diff" => self.apply(&self.request(words), false),
            "json" => {
                let request = self.request(words);
                let base = self.store.read_current().unwrap().into();
                let changes = change::plan(&base, &request.batch, &request.options).unwrap();
                serde_json::to_string_pretty(&changes.to_json()).unwrap() + "\n"
            }
            "live" => self.live(words),
            "state" => self.state(),
            "sets" => format!("{}\n", json!(self.store.read_current().unwrap().sets)),
            "tombstones" => {
                let desired = to_engine(&self.store.read_current().unwrap(), self.home.key());
                let line = |(id, tombstone): (&ObjectRef, &setpoint::engine::desired::Tombstone)| {
                    format!("  {id} went with generation {}: {}\n", tombstone.generation, tombstone.policy.stop)
                };
                desired.tombstones.iter().map(line).collect()
            }
            "attempt" => {
                let id: InstanceId = words[0].parse().unwrap();
                std::fs::create_dir_all(self.home.records(&id)).unwrap();
                let number: u32 = words[1].parse().unwrap();
                std::fs::write(self.home.records(&id).join(format!("{number:08}.attempt")), "").unwrap();
                String::new()
            }
            "file" => {
                let path = self.path(words[0]);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
                String::new()
            }
            "find" => {
                let known = self.store.read_current().unwrap().objects.into_keys().collect::<BTreeSet<_>>();
                let words: Vec<String> = words.iter().map(ToString::to_string).collect();
                match resolve(&known, &words) {
                    Ok(found) => format!("  {found:?}\n").replace("ObjectRef", ""),
                    Err(error) => format!("error: {error}\n"),
                }
            }
            "history" => {
                let history = history(&self.store, &words[0].parse().unwrap()).unwrap();
                let line = |version: &setpoint::desired::history::Version| {
                    format!("  {} {}: {}\n", version.generation, version.by.verb.as_str(), version.what)
                };
                history.versions.iter().map(line).collect()
            }
            _ => self.edit(verb, words),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(path.replace("$T", self.folder.path().to_str().unwrap()))
    }

    pub fn request(&self, words: &[&str]) -> Request {
        let mut request = Request::default();
        let mut base = String::from("stdin");
        for word in words {
            match word.split_once(':').unwrap_or((word, "")) {
                ("folder", path) => {
                    base = self.path(path).display().to_string();
                    request.batch.origins.push(Origin::Folder { path: self.path(path), set: None });
                }
                ("file", path) => {
                    base = self.path(path).parent().unwrap().display().to_string();
                    request.batch.origins.push(Origin::File { path: self.path(path) });
                }
                ("stdin", _) => request.batch.origins.push(Origin::Stdin),
                ("set", name) => request.options.set = Some(name.to_owned()),
                ("expect", plan) => request.expect = Some(plan.to_owned()),
                ("prune", _) => request.options.prune = true,
                ("take", _) => request.options.take = true,
                ("yes", _) => request.is_agreed = true,
                ("broken", _) => request.listing = Some(Listing::Broken),
                ("missing", _) => request.listing = Some(Listing::Unreadable { why: String::from("no such folder") }),
                _ => request.batch.proposals.push(proposal(word, &base)),
            }
        }
        request
    }

    fn apply(&self, request: &Request, is_real: bool) -> String {
        let mut locked = self.store.lock(&|_| ()).unwrap();
        let changes = match change::plan(locked.base(), &request.batch, &request.options) {
            Ok(changes) => changes,
            Err(refusal) => return format!("refused: {refusal}\n"),
        };
        let mut text = render::lines(&changes, false);
        let _ = writeln!(text, "{}", render::summary(&changes));
        if let Some(why) = changes.needs_yes.as_ref().filter(|_| !request.is_agreed) {
            let _ = writeln!(text, "needs --yes: {why}");
        } else if request.expect.as_ref().is_some_and(|plan| *plan != changes.plan) {
            text.push_str("stale\n");
        } else if is_real {
            match changes.draft(Author::caller(), &|id| last_attempts(&self.home, id)).unwrap() {
                Some(draft) => text.push_str(&commit(&mut locked, draft)),
                None => text.push_str("nothing to write\n"),
            }
        }
        text
    }

    fn live(&self, words: &[&str]) -> String {
        let mut folders: Vec<Folder> = Vec::new();
        let is_confirmed = words.contains(&"confirmed");
        let words: Vec<&str> = words.iter().copied().filter(|word| *word != "confirmed").collect();
        for words in words.split(|word| *word == "|") {
            let request = self.request(words);
            let Some(Origin::Folder { path, .. }) = request.batch.origins.first() else { panic!("a folder first") };
            let path = path.display().to_string();
            folders.push(Folder {
                set: path.clone(),
                is_user_layer: path.ends_with("/jobs"),
                path,
                proposals: request.batch.proposals,
                listing: request.listing.unwrap_or(Listing::Whole),
            });
        }
        let mut locked = self.store.lock(&|_| ()).unwrap();
        let attempts = |id: &ObjectRef| last_attempts(&self.home, id);
        let mut live = plan_live(locked.base(), &folders, &BTreeSet::new(), &attempts).unwrap();
        if is_confirmed {
            let confirmed = live.unconfirmed;
            live = plan_live(locked.base(), &folders, &confirmed, &attempts).unwrap();
        }
        let mut text = String::new();
        for change in &live.changes {
            let _ = writeln!(text, "  {:?} {}: {}", change.action, change.object, change.reason);
        }
        for warning in &live.warnings {
            let _ = writeln!(text, "  WARN {warning}");
        }
        for id in &live.unconfirmed {
            let _ = writeln!(text, "  {id} may be gone");
        }
        match live.draft {
            Some(draft) => text.push_str(&commit(&mut locked, draft)),
            None => text.push_str("nothing to write\n"),
        }
        text
    }

    fn edit(&self, verb: &str, words: &[&str]) -> String {
        let mut locked = self.store.lock(&|_| ()).unwrap();
        let base = locked.base().clone();
        let attempts = |id: &ObjectRef| last_attempts(&self.home, id);
        let id: ObjectRef = words[0].parse().unwrap();
        let (author, ids) = (Author::caller(), [id.clone()]);
        let draft = match verb {
            "pause" => edit::pause(&base, &ids, None, author),
            "resume" => match edit::resume(&base, &ids, author, &attempts) {
                Some(draft) => draft,
                None => return String::from("nothing to write\n"),
            },
            "restart" => edit::restart(&base, &ids, author, &attempts),
            "delete" => match edit::delete(&base, &ids, fate(words), author) {
                Ok(draft) => draft,
                Err(refusal) => return format!("refused: {refusal}\n"),
            },
            "undo" => {
                let history = history(&self.store, &id).unwrap();
                let old = match history.target(&id, words.get(1).map(|to| to.parse().unwrap())) {
                    Ok(old) => old,
                    Err(error) => return format!("error: {error}\n"),
                };
                match edit::undo(&base, &id, &old, author, &attempts).unwrap() {
                    Ok(draft) => draft,
                    Err(refusal) => return format!("refused: {refusal}\n"),
                }
            }
            _ => panic!("no such line: {verb}"),
        };
        commit(&mut locked, draft)
    }

    fn state(&self) -> String {
        let stored = self.store.read_current().unwrap();
        let mut text = String::new();
        for (id, object) in &stored.objects {
            let Metadata { set, generation, layer, leftover, .. } = &object.metadata;
            let mut overrides = object.overrides.clone();
            let paused = if overrides.paused.take().is_some() { " paused" } else { "" };
            let layer = layer.as_ref().map(|layer| format!(" layer {layer}")).unwrap_or_default();
            let left = if *leftover { " leftover" } else { "" };
            let spec = &object.spec["run"];
            let _ = write!(text, "  {id} run {spec} in {set}, version {generation}{layer}{left}{paused}");
            let facts = if overrides.is_empty() { String::new() } else { format!(" {}", json!(overrides)) };
            let _ = writeln!(text, "{facts}");
        }
        text
    }
}

/// `web=run,labels.app=x,env.PORT=80,stop.grace=30s`.
fn proposal(word: &str, folder: &str) -> Proposal {
    let (name, rest) = word.split_once('=').unwrap();
    let mut fields = rest.split(',');
    let mut spec = Map::from_iter([
        (String::from("run"), Value::from(fields.next().unwrap())),
        (String::from("dir"), Value::from("/srv")),
    ]);
    let mut labels = BTreeMap::new();
    for field in fields {
        let (path, value) = field.split_once('=').unwrap();
        match path.split_once('.') {
            Some(("labels", key)) => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            Some((map, key)) => spec.entry(map).or_insert_with(|| json!({}))[key] = Value::from(value),
            None => {
                spec.insert(path.to_owned(), value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from));
            }
        }
    }
    let id = ObjectRef::new("service", name).unwrap();
    let source = if folder == "stdin" { folder.to_owned() } else { format!("{folder}/{name}.yaml") };
    Proposal {
        id,
        kind: String::from("Service"),
        spec: Value::Object(spec),
        labels,
        annotations: BTreeMap::new(),
        source,
        origin: 0,
        links: [].into(),
    }
}

fn commit(locked: &mut setpoint::desired::Locked, draft: Draft) -> String {
    let stored = locked.commit(draft).unwrap();
    format!("generation {} by {}\n", stored.generation, stored.by.verb.as_str())
}

/// A batch of `count` objects in one folder, the first of which runs `run`.
pub fn many(count: usize, folder: &Path, run: &str) -> Batch {
    let mut proposals: Vec<Proposal> =
        (0..count).map(|n| proposal(&format!("s{n}=sleep"), folder.to_str().unwrap())).collect();
    if let Some(first) = proposals.first_mut() {
        first.spec["run"] = Value::from(run);
    }
    Batch { origins: vec![Origin::Folder { path: folder.to_path_buf(), set: None }], proposals }
}

fn fate(words: &[&str]) -> edit::Fate {
    match (words.contains(&"keep-running"), words.contains(&"adopted")) {
        (true, _) => edit::Fate::RunOn,
        (false, true) => edit::Fate::StopAdopted,
        (false, false) => edit::Fate::Stop,
    }
}
