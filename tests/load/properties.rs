//! What holds for every input.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use setpoint::kind::units::{Duration, Signal, Size};
use setpoint::kind::{KINDS, KindDef};
use setpoint::load::{Form, load_text};

use crate::here;

fn service() -> &'static KindDef {
    KINDS.iter().find(|def| def.kind == "Service").expect("Service")
}

fn scalar() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "x",
        " ",
        "TERM",
        "SIGINT",
        "term",
        "9",
        "19",
        "33",
        "34",
        "64",
        "65",
        "10s",
        "0",
        "007s",
        "5",
        "1h30m",
        "999999999d",
        "1000000000s",
        "512Mi",
        "1.5Gi",
        "999999Ti",
        "1000000Ti",
        "999999999999999",
        "always",
        "never",
        "on-failure",
        "unproven",
        "/srv",
        "~",
        "a\u{0}b",
        "é",
    ];
    let numbers = [0.0, -1.0, 1.0, 2.0, 1.5, 0.5, 9.0, 19.0, 64.0, 1000.0, 1001.0, 1e9, 1e15, 1e20, -1e20];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(|word| json!(word)),
        2 => prop::sample::select(numbers.to_vec()).prop_map(|number| json!(number)),
        2 => prop::sample::select(&[0_i64, 1, -1, 9, 19, 64, 1000, 1001, i64::MAX, i64::MIN][..]).prop_map(|n| json!(n)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => ".{0,8}".prop_map(Value::from),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    let names = [
        "run",
        "dir",
        "env",
        "replicas",
        "restart",
        "backoff",
        "stop",
        "log",
        "from",
        "to",
        "factor",
        "resetAfter",
        "giveUp",
        "giveUpAfter",
        "signal",
        "grace",
        "maxSize",
        "maxFiles",
        "A",
        "ready",
    ];
    let name = move || prop::sample::select(names.to_vec()).prop_map(str::to_owned);
    let value = prop_oneof![
        6 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        3 => prop::collection::btree_map(name(), scalar(), 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
    ];
    prop::collection::btree_map(name(), value, 0..5).prop_map(|map| {
        let mut map: Map<String, Value> = map.into_iter().collect();
        map.entry("run").or_insert_with(|| json!("x"));
        // The loader makes it absolute; anything that is text will do before that.
        if map.get("dir").is_none_or(Value::is_string) {
            map.insert("dir".to_owned(), json!("/srv"));
        }
        Value::Object(map)
    })
}

/// Specs whose fields fit, so that most of them are good.
fn good_spec() -> impl Strategy<Value = Value> {
    let span = prop_oneof![Just("10ms"), Just("100ms"), Just("1s"), Just("60s"), Just("1m"), Just("2h"), Just("7d")];
    let size = prop_oneof![Just(json!("4Ki")), Just(json!(5000)), Just(json!("50Mi")), Just(json!(52_428_800))];
    let run = prop_oneof![Just(json!("x")), Just(json!(["a", ""])), Just(json!(["a", "b c"]))];
    let env = prop::collection::btree_map("[A-Z_][A-Z0-9_]{0,3}", prop_oneof![Just(json!("")), Just(json!(1.5))], 0..3);
    let restart = prop_oneof![Just("always"), Just("on-failure"), Just("never")];
    (run, env, 0..=1000_u32, span.clone(), span, size, restart, 1000..3000_u32).prop_map(
        |(run, env, replicas, from, to, size, restart, factor)| {
            json!({
                "run": run, "dir": "/srv", "env": env, "replicas": replicas, "restart": restart, "log": { "maxSize": size },
                "backoff": { "from": from, "to": to, "factor": f64::from(factor) / 1000.0 }, "stop": { "signal": "INT" },
            })
        },
    )
}

/// Pieces of manifests in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "kind: Service",
        "name: a",
        "run: x",
        "\n",
        "\n",
        "\n",
        "  ",
        "\t",
        "- ",
        "---",
        ": ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "<<: *a",
        "# c",
        "env:",
        "A: 1",
        "metadata:",
        "spec:",
        "items:",
        "apiVersion: v1",
        "é",
        "\u{feff}",
        "\r\n",
        "%YAML 1.2",
        "? ",
        "stop: {grace: 10}",
        "labels:",
        "...",
        "\u{7f}",
        "\u{2028}",
        ",",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::Yaml, Form::Json, Form::Markdown] {
            let _ = load_text(&bytes, form, &here()).map_err(|problems| problems.to_string());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in soup()) {
        for form in [Form::Yaml, Form::Markdown] {
            if let Err(problems) = load_text(text.as_bytes(), form, &here()) {
                prop_assert!(problems.render(true).len() < 100_000);
                let lines = u32::try_from(text.split('\n').count()).expect("few");
                prop_assert!(problems.list.iter().all(|problem| problem.place.line <= lines), "{}", problems);
            }
        }
    }

    #[test]
    fn what_fits_the_schema_can_be_read(spec in spec()) {
        let validator = jsonschema::draft7::new(setpoint::load::spec_schema(service())).expect("schema");
        if validator.is_valid(&spec) {
            // It may still be refused for a reason that has a name and a place, but never for its types.
            let types = |errors: Vec<setpoint::kind::FieldError>| errors.iter().all(|error| !error.path.is_empty());
            prop_assert!((service().parse)(&spec).map_or_else(types, |_| true), "{}", spec);
        }
    }

    #[test]
    fn the_canonical_spec_reads_as_itself(spec in good_spec()) {
        if let Ok(parsed) = (service().parse)(&spec) {
            let again = (service().parse)(&parsed.spec).expect("canonical");
            prop_assert_eq!(&again.spec, &parsed.spec);
            prop_assert_eq!(again.kind.revision_input(), parsed.kind.revision_input());
        }
    }

    #[test]
    fn units_print_what_they_read(number in 0..1_000_000_u64, unit in prop::sample::select(vec!["ms", "s", "m", "h", "d"])) {
        let read: Duration = format!("{number}{unit}").parse().expect("duration");
        prop_assert_eq!(read.to_string().parse::<Duration>().expect("printed"), read);
        let read: Size = number.to_string().parse().expect("size");
        prop_assert_eq!(read.to_string().parse::<Size>().expect("printed"), read);
    }

    #[test]
    fn signals_print_what_they_read(number in 1..=64_i32) {
        if let Ok(signal) = number.to_string().parse::<Signal>() {
            prop_assert_eq!(signal.to_string().parse::<Signal>().expect("printed"), signal);
        }
    }
}
