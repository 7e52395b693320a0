//! Schemas and examples as they are checked in.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use serde_json::Value;
use setpoint::kind::{KINDS, schema};
use setpoint::load::{LoadContext, load};

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
        if path.extension().is_some_and(|extension| extension == "yaml") {
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
    out.replace(root().to_str().expect("utf-8"), "$REPOSITORY")
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
