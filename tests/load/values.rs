//! What good manifests become.

use expect_test::{Expect, expect};
use serde_json::json;
use setpoint::kind::{KINDS, find};
use setpoint::load::{Form, load_text};

use crate::{bare, here, list, load, told};

fn check(text: &str, expect: Expect) {
    expect.assert_eq(&told(text));
}

#[test]
fn both_forms_mean_the_same() {
    let short = "kind: Service\nname: web\nrun: x\nreplicas: 2\nlabels: {a: b}\nannotations: {n: 1.10}\n";
    let long = "apiVersion: setpoint/v1\nkind: Service\nmetadata: {name: web, labels: {a: b}, annotations: {n: 1.10}}\n\
                spec:\n  run: x\n  replicas: 2\n";
    let (short, long) = (load(short).expect("short"), load(long).expect("long"));
    assert_eq!(list(&short), list(&long));
    assert_eq!(short.manifests[0].labels, long.manifests[0].labels);
    assert_eq!(short.manifests[0].annotations, long.manifests[0].annotations);
}

#[test]
fn what_get_prints_can_be_applied() {
    let manifest = load("kind: Service\nname: web\nrun: [a, b]\nenv: {A: 1.10}\nlabels: {x: y}\n").expect("good");
    let manifest = &manifest.manifests[0];
    let printed = json!({
        "apiVersion": "setpoint/v1", "kind": "Service",
        "metadata": {
            "name": "web", "uid": "u", "set": "home", "source": "f", "layer": "l", "generation": 3, "labels": manifest.labels,
        },
        "spec": manifest.spec,
        "status": { "state": "Ready" },
    });
    for text in [printed.to_string(), json!({ "items": [printed] }).to_string()] {
        let again = load_text(text.as_bytes(), Form::Json, &here()).expect("printed");
        assert_eq!(again.manifests[0].spec, manifest.spec);
        assert_eq!(again.manifests[0].labels, manifest.labels);
    }
    let yaml = serde_yaml::to_string(&printed).expect("yaml");
    assert_eq!(load(&yaml).expect("yaml").manifests[0].spec, manifest.spec);
}

#[test]
fn defaults_are_left_out_and_units_have_one_form() {
    check(
        "kind: Service\nname: a\nrun: x\nreplicas: 1\nrestart: always\nenv: {}\nstop: {signal: SIGTERM, grace: 10000ms}\n\
         backoff: {from: 1000ms, factor: 2.0, to: 1m, resetAfter: 60s, giveUpAfter: 5, giveUp: unproven}\n\
         log: {maxSize: 52428800, maxFiles: 5}\n",
        expect![[r#"
            service/a {"dir":"/","run":"x"}
        "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nreplicas: 3.0\nrestart: on-failure\nstop: {signal: 2, grace: 90s}\n\
         backoff: {from: 500ms, factor: 1.5, giveUpAfter: 1e1}\nlog: {maxSize: 1048576}\n",
        expect![[r#"
            service/a {"backoff":{"factor":1.5,"from":"500ms","giveUpAfter":10},"dir":"/","log":{"maxSize":"1Mi"},"replicas":3,"restart":"on-failure","run":"x","stop":{"grace":"90s","signal":"INT"}}
        "#]],
    );
}

#[test]
fn environment_keeps_the_characters() {
    check(
        "kind: Service\nname: a\nrun: x\nenv:\n  A: 1.10\n  B: 0777\n  C: no\n  D: true\n  E: 1e3\n  F: 0x1F\n  G: \"\"\n  H: 22:00\n  I: 2026-01-01\n",
        expect![[r#"
            service/a {"dir":"/","env":{"A":"1.10","B":"0777","C":"no","D":"true","E":"1e3","F":"0x1F","G":"","H":"22:00","I":"2026-01-01"},"run":"x"}
        "#]],
    );
}

#[test]
fn names_may_look_like_numbers() {
    check(
        "kind: Service\nname: 007\nrun: x\n",
        expect![[r#"
        service/007 {"dir":"/","run":"x"}
    "#]],
    );
}

#[test]
fn aliases_merges_and_block_text() {
    let text = "kind: Service\nname: a\nenv: &env {A: x, B: y}\nrun: |\n  set -e\n  exec ./a\n---\nkind: Service\nname: b\n\
                run: >-\n  ./b\n  --long\nstop: &stop\n  grace: 5s\nbackoff:\n  <<: {from: 2s, to: 3s}\n  to: 9s\n";
    check(
        text,
        expect![[r#"
        service/a {"dir":"/","env":{"A":"x","B":"y"},"run":"set -e\nexec ./a\n"}
        service/b {"backoff":{"from":"2s","to":"9s"},"dir":"/","run":"./b --long","stop":{"grace":"5s"}}
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nenv: {<<: 5}\n",
        expect![[r#"
        error: `<<` merges maps, and this is none
         --> <stdin>:4:7
          |
        4 | env: {<<: 5}
          |       ^^
          |
          = help: name a map: `<<: *base`, where `base` was written as `&base` before

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nenv: &e {A: *e}\n",
        expect![[r#"
        error: this alias stands inside the value it names
         --> <stdin>:4:13
          |
        4 | env: &e {A: *e}
          |             ^^
          |
          = help: write it out

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn text_with_a_mark_windows_lines_and_empty_documents() {
    check(
        "\u{feff}kind: Service\r\nname: a\r\nrun: x\r\n",
        expect![[r#"
        service/a {"dir":"/","run":"x"}
    "#]],
    );
    check(
        "---\n---\n# nothing\n---\nkind: Service\nname: a\nrun: x\n...\n",
        expect![[r#"
        service/a {"dir":"/","run":"x"}
    "#]],
    );
    check("", expect![[""]]);
}

#[test]
fn markdown_needs_front_matter() {
    let read = |text: &str| match load_text(text.as_bytes(), Form::Markdown, &here()) {
        Ok(loaded) => list(&loaded),
        Err(problems) => bare(&problems.to_string()),
    };
    expect![[""]].assert_eq(&read("# Read me\n\nkind: Service\n"));
    expect![[r#"
        service/a {"dir":"/","run":"x"}
    "#]]
    .assert_eq(&read("---\nkind: Service\nname: a\nrun: x\n---\nAbout *this*: ...\n"));
    expect![[r#"
        error: the front matter does not end
         --> <stdin>:1:1
          |
        1 | ---
          | ^^^
          |
          = help: end it with a line `---`

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&read("---\nkind: Service\n"));
}

#[test]
fn json_is_strict() {
    let read = |text: &str| match load_text(text.as_bytes(), Form::Json, &here()) {
        Ok(loaded) => list(&loaded),
        Err(problems) => bare(&problems.to_string()),
    };
    expect![[r#"
        service/a {"dir":"/","run":["é/"]}
    "#]]
    .assert_eq(&read("{\n\t\"kind\": \"Service\", \"name\": \"a\",\n\t\"run\": [\"\\u00e9\\/\"]\n}"));
    expect![[r#"
        error: this is not JSON: key must be a string
         --> <stdin>:2:15
          |
        2 |  "name": "a", }
          |               ^
          |
          = help: JSON takes no comments and no trailing commas; a .yaml file takes both

        1 error in 1 of 1 file.
    "#]]
    .assert_eq(&read("{\"kind\": \"Service\",\n \"name\": \"a\", }"));
}

#[test]
fn the_input_of_revisions_holds_still() {
    let input = |text: &str| {
        let loaded = load(text).expect("good");
        let manifest = &loaded.manifests[0];
        (manifest.kind.parse)(&manifest.spec).expect("canonical").kind.revision_input()
    };
    let all = "kind: Service\nname: a\nrun: [z, a]\ndir: b/./c\nenv: {Z: 1, A: 2}\nreplicas: 3\nstop: {grace: 1s}\n";
    expect![[r#"{"dir":"/b/c","env":{"A":"2","Z":"1"},"run":["z","a"]}"#]].assert_eq(&input(all));
    expect![[r#"{"dir":"/","run":"./a"}"#]].assert_eq(&input("kind: Service\nname: a\nrun: ./a\n"));
}

#[test]
fn kinds_are_sorted_and_found() {
    assert!(KINDS.is_sorted_by_key(|def| def.kind));
    for word in ["Service", "service", "SERVICES", "svc"] {
        assert_eq!(setpoint::kind::find_spoken(word).map(|def| def.kind), Some("Service"), "{word}");
    }
    assert!(find("service").is_none());
}
