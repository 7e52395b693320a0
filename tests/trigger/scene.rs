//! A world with one Trigger, and what it was told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::asks::{ask, runs};
use crate::world::{Controller, World};

/// A world with a Trigger `t` that writes down what it is told, and a folder `tree` that it watches.
pub struct Scene {
    pub world: World,
    pub controller: Option<Controller>,
}

impl Scene {
    /// Begins when the Trigger has listed what is there.
    #[track_caller]
    pub fn new(fields: &str) -> Scene {
        let scene = Scene::of(&format!("{fields}run: [sh, -c, 'cat >> {LOG}; echo >> {LOG}']\n"));
        scene.begun()
    }

    /// The same with work of its own, and no controller yet.
    pub fn of(fields: &str) -> Scene {
        let world = World::new();
        let root = world.root().display().to_string();
        let fields = fields.replace("ROOT", &root);
        world.write("t.yaml", &format!("kind: Trigger\nname: t\n{fields}"));
        world.apply();
        Scene { world, controller: None }
    }

    /// Starts a controller and waits until it listens.
    #[track_caller]
    pub fn begun(mut self) -> Scene {
        self.controller = Some(self.world.controller());
        self.listens();
        self
    }

    #[track_caller]
    pub fn listens(&self) {
        self.world.until("it watches", || !self.facts().is_null());
    }

    /// What the controller says of it; null before it watches.
    pub fn facts(&self) -> Value {
        ask(&self.world, "controller.triggers", &json!({})).map(|all| all["trigger/t"].clone()).unwrap_or_default()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.world.root().join(below)
    }

    /// Writes a file, with its folder.
    pub fn put(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// What each run was told, in their order.
    pub fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("told")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The changes of one run, as `modify tree/a`.
    pub fn changes(&self, told: &Value) -> Vec<String> {
        let of = |change: &Value| {
            let path = Path::new(change["path"].as_str().expect("a path"));
            let below = path.strip_prefix(self.world.root()).expect("below the root");
            format!("{} {}", change["change"].as_str().expect("a change"), below.display())
        };
        told["changes"].as_array().expect("changes").iter().map(of).collect()
    }

    /// All changes that were told, in their order.
    pub fn all(&self) -> Vec<String> {
        self.told().iter().flat_map(|told| self.changes(told)).collect()
    }

    /// How often each change was told.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.all().into_iter().for_each(|change| *counts.entry(change).or_default() += 1);
        counts
    }

    /// Waits until a run was told exactly this, next after `before` others, and is over.
    #[track_caller]
    pub fn tells(&self, before: usize, expected: &[&str]) {
        self.hears(before, expected);
        let over = || runs(&self.world, "trigger/t").values().filter(|row| row.end.is_some()).count();
        self.world.until("the run is over", || over() > before);
    }

    /// Waits until a run is told exactly this, next after `before` others.
    #[track_caller]
    pub fn hears(&self, before: usize, expected: &[&str]) {
        self.world.until(&format!("run {} is told {expected:?}, not {:?}", before + 1, self.all()), || {
            self.told().len() > before
        });
        let told = self.told();
        assert_eq!(self.changes(&told[before]), expected, "{}", self.world.story());
    }

    /// What `events` says of the Trigger: types and words.
    pub fn events(&self) -> Vec<(String, String)> {
        let said = self.world.run(&["events", "-o", "json"]);
        let each = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of = |event: Value| Some((event["type"].as_str()?.to_owned(), event.to_string()));
        each.filter_map(of).collect()
    }

    /// Does something that is told after everything before it, and waits for that: what was not told by then is not told
    /// at all.
    #[track_caller]
    pub fn fence(&self) {
        let name = format!("fence-{}", self.told().len());
        self.put(&format!("tree/{name}.rs"), "");
        let is_told = || self.all().iter().any(|change| change.contains(&name));
        self.world.until("the fence is told", is_told);
    }
}

/// Where runs write what they are told.
pub const LOG: &str = "ROOT/told";
