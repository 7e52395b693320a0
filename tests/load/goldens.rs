//! Schemas and examples as they are checked in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::expect_file;
use serde_json::Value;
use setpoint::engine::desired::{Overrides, Spec};
use setpoint::engine::expand::{Item, Items};
use setpoint::engine::observed::Twin;
use setpoint::engine::plan::{Inherit, Launch, Limits, Policy, Stdin};
use setpoint::engine::{
    Action, Backoff, BootId, BootTime, Cause, Coverage, Desired, InstanceId, Now, Object, Observed, Revision, Sight,
    Sighting, Timestamp, reconcile,
};
use setpoint::kind::{KINDS, schema};
use setpoint::load::{LoadContext, Manifest, load};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn context() -> LoadContext {
    LoadContext { folder: root() }
}

#[test]
fn schemas_are_fresh() {
    expect_file![root().join("schemas/setpoint.json")].assert_eq(&format!("{:#}\n", schema::of_all()));
    for def in KINDS {
        let path = root().join(format!("schemas/{}.json", def.lower));
        expect_file![path].assert_eq(&format!("{:#}\n", schema::of_kind(def)));
    }
}

#[test]
fn schemas_are_schemas() {
    for document in KINDS.iter().map(schema::of_kind).chain([schema::of_all()]) {
        jsonschema::draft7::meta::validate(&document).expect("draft 7");
    }
}

#[test]
fn every_example_loads_as_its_golden_says() {
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "md") {
            expect_file![path.with_extension("golden")].assert_eq(&golden(&path));
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} examples");
}

fn golden(path: &Path) -> String {
    let loaded = load(&[path.to_owned()], &context()).unwrap_or_else(|problems| panic!("{problems}"));
    let mut out = String::new();
    for manifest in &loaded.manifests {
        let _ = writeln!(out, "{} at line {}", manifest.id, manifest.place.line);
        manifest.labels.iter().for_each(|(name, value)| {
            let _ = writeln!(out, "label {name}={value}");
        });
        let _ = writeln!(out, "{:#}\n", manifest.spec);
    }
    out.push_str(&first_plan(&loaded.manifests));
    out.replace(root().to_str().expect("utf-8"), "$REPOSITORY")
}

#[test]
fn every_field_has_an_example() {
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path).expect("text");
            for document in serde_yaml::from_multiple::<Value>(&text).expect("yaml") {
                add_paths("", document.get("spec").unwrap_or(&document), &mut written);
            }
        }
    }
    let mut fields = BTreeSet::new();
    KINDS.iter().for_each(|def| add_fields("", &(def.schema)().to_value(), &mut fields));
    assert!(fields.len() > 60, "only {} fields", fields.len());
    // No manifest with a Channel loads yet; the field is there to say so.
    let is_there = |field: &&String| field.as_str() != "then.notify";
    let missing: Vec<&String> = fields.difference(&written).filter(is_there).collect();
    assert!(missing.is_empty(), "no example has {missing:?}");
}

/// The fields of a value: `ready.http`; items of lists count as one.
fn add_paths(above: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            let path = format!("{above}{name}");
            add_paths(&format!("{path}."), field, found);
            found.insert(path);
        }),
        Value::Array(items) => items.iter().for_each(|item| add_paths(above, item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The fields of a schema, by the same names.
fn add_fields(above: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{above}{name}");
        add_fields(&format!("{path}."), field, found);
        add_fields(&format!("{path}."), field.get("items").unwrap_or(&Value::Null), found);
        found.insert(path);
    }
}

/// What would be done about these objects on a machine on which nothing runs and everything has been looked at.
fn first_plan(manifests: &[Arc<Manifest>]) -> String {
    let (mut objects, mut observed) = (BTreeMap::new(), Observed::empty());
    for manifest in manifests {
        let parsed = (manifest.kind.parse)(&manifest.spec).expect("what was loaded parses");
        if parsed.kind.for_each().is_some() {
            observed.items.insert(manifest.id.clone(), Sight::Seen(one_item()));
        }
        for cause in [Cause::Slot(0), Cause::Named("first".into())] {
            let id = InstanceId { object: manifest.id.clone(), cause };
            let alone = Sighting { twin: Twin::None, ..Sighting::of(Sight::Absent) };
            observed.sightings.insert(id, alone);
        }
        let object = Object {
            id: manifest.id.clone(),
            uid: "u1".into(),
            spec: Spec::Known(parsed.kind),
            revisions: vec![Revision { version: 1, hash: "a".into() }],
            work_generation: 1,
            overrides: Overrides::default(),
        };
        objects.insert(manifest.id.clone(), Arc::new(object));
    }
    let desired = Desired {
        generation: 1,
        coverage: Coverage::Whole,
        objects,
        tombstones: BTreeMap::new(),
        frozen: None,
        is_draining: false,
    };
    let now = Now { wall: Timestamp::from_nanos(0), boot: BootTime::default(), boot_id: BootId::new("this") };
    let plan = reconcile(&desired, &observed, &Backoff::default(), &now);
    let mut out = String::new();
    for decision in &plan.decisions {
        let _ = writeln!(out, "{}: {}, because {}", decision.id, verb(decision.action.as_ref()), decision.because);
    }
    out
}

fn one_item() -> Items {
    let item = Item { text: "/srv/first.jsonl".into(), stem: "first".into() };
    Items { listed: BTreeMap::from([(Cause::Named("first".into()), item)]), gone: BTreeMap::new() }
}

fn verb(action: Option<&Action>) -> String {
    let spawn = match action {
        Some(Action::Spawn(spawn)) => spawn,
        Some(Action::Fire(_)) => return "fire".to_owned(),
        Some(other) => return format!("{other:?}"),
        None => return "wait".to_owned(),
    };
    let Launch { command, env, env_files, inherit, user, group, umask, limits, stdin, is_notified, is_durable, dir: _ } =
        &*spawn.launch;
    let mut text = format!("start {command:?}");
    let mut add = |is_set: bool, more: String| is_set.then(|| text.push_str(&format!("\n    {more}")));
    add(!env.is_empty(), format!("env {env:?}"));
    add(!env_files.is_empty(), format!("files {env_files:?}"));
    add(*inherit != Inherit::Nothing, format!("inherits {inherit:?}"));
    add(user.is_some() || group.is_some(), format!("as {user:?} {group:?}"));
    add(umask.is_some(), format!("umask {:o}", umask.unwrap_or(0)));
    add(*limits != Limits::default(), format!("limits {limits:?}"));
    add(*stdin != Stdin::Null || *is_notified, format!("stdin {stdin:?}, notified {is_notified}"));
    add(*is_durable, "durable".to_owned());
    add(spawn.policy != Policy::DEFAULT, format!("{:?}", spawn.policy));
    text
}

/// An editor that validates with the published schema must agree with the loader about everything we show people.
#[test]
fn what_we_show_fits_the_published_schema() {
    let validator = jsonschema::draft7::new(&schema::of_all()).expect("schema");
    for folder in ["examples", "manifests"] {
        for entry in fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("entry").path();
            let is_manifest = path.extension().is_some_and(|extension| extension == "yaml");
            if !is_manifest || path.ends_with("setpoint.yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            let first = text.lines().next().unwrap_or_default();
            assert_eq!(first, "# yaml-language-server: $schema=../schemas/setpoint.json", "{}", path.display());
            for document in serde_yaml::from_multiple::<Value>(&text).expect("yaml") {
                let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            }
        }
    }
}

#[test]
fn the_sample_of_the_readme_is_valid() {
    let loaded = load(&[root().join("manifests")], &context()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!loaded.manifests.is_empty());
}
