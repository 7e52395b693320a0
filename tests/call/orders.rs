//! Orders that are none, and words to setpoint itself.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{SECRET, call, call_with};

#[test]
fn rubbish_is_told_in_one_line_that_quotes_nothing() {
    let secret = format!("\"{SECRET}\"");
    let table = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\u{0}\u{1}".to_owned(),
        "{}".to_owned(),
        format!("{{{secret}: 1}}"),
        "{\"params\": {}}".to_owned(),
        "{\"builtin\": \"noop\", \"params\": 3}".to_owned(),
        format!("{{\"builtin\": {secret}}}"),
        format!("{{\"http\": {secret}}}"),
        format!("{{\"http\": {{\"url\": \"http://a\", \"method\": {secret}}}}}"),
        format!("{{\"http\": {{\"url\": \"http://a\", \"headers\": {{\"a\": {{\"env\": 3, \"b\": {secret}}}}}}}}}"),
        "{\"http\": {\"url\": \"http://a\"}, \"builtin\": \"noop\"}".to_owned(),
        "{\"http\": {\"url\": \"http://a\"}, \"mcp\": {\"server\": \"http://a\", \"tool\": \"b\"}}".to_owned(),
        "{\"mcp\": {\"server\": [], \"tool\": \"a\"}}".to_owned(),
        "{\"mcp\": {\"server\": [\"a\"]}}".to_owned(),
        format!("{{\"builtin\": \"noop\", \"params\": {{\"a\": \"{}\"}}}}", "b".repeat(1 << 20)),
        format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    for order in table {
        let done = call_with(order.as_bytes(), &[]);
        assert_eq!((done.code, done.out.len()), (2, 0), "{} {}", order.get(..60).unwrap_or(&order), done.err);
        assert_eq!(done.err.lines().count(), 1, "{}", done.err);
        _ = done.error();
    }
    let done = call_with(b"\xff\xfe{", &[]);
    assert_eq!(done.code, 2, "{}", done.err);
}

#[test]
fn nothing_is_done_and_said() {
    let done = call(&json!({ "builtin": "noop", "params": { "a": 1 } }));
    assert_eq!((done.code, done.text().as_str(), done.err.as_str()), (0, "{}\n", ""));
}

#[test]
fn it_is_no_verb_for_people() {
    let output = Command::new(env!("CARGO_BIN_EXE_setpoint")).arg("--help").stdin(Stdio::null()).output();
    let help = String::from_utf8(output.expect("an answer").stdout).expect("text");
    assert!(help.contains("completion") && !help.contains(" call"), "{help}");
}

#[test]
fn setpoint_answers_for_itself() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("home");
    let env = [("SETPOINT_HOME", root.to_str().expect("text"))];
    let ask = |builtin: &str| call_with(json!({ "builtin": builtin }).to_string().as_bytes(), &env);
    let done = ask("sidecar_status");
    assert_eq!((done.code, done.error().as_str()), (1, "there is no home, so nothing runs"));
    assert_eq!(ask("sidecar_jobs").text(), "[]\n");
    let manifest = home.path().join("web.yaml");
    std::fs::write(&manifest, "kind: Service\nname: web\nrun: sleep 100\n").expect("a file");
    let mut apply = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    apply.args(["apply", "--no-start", "-f"]).arg(&manifest).envs(env);
    assert!(apply.output().expect("an end").status.success());
    std::fs::write(root.join("state.json"), "{\"running\": true, \"pid\": 1, \"heartbeat_count\": 7}").expect("a file");
    let done = ask("sidecar_status");
    let status: Value = serde_json::from_str(&done.text()).expect("JSON");
    let expected = json!({
        "running": false, "pid": 1, "heartbeat_count": 7,
        "objects": { "Service": 1 }, "states": { "Starting": 1 },
    });
    assert_eq!(status, expected);
    assert_eq!(ask("sidecar_jobs").text(), "[]\n");
    std::fs::write(root.join("state.json"), "[").expect("a file");
    assert!(ask("sidecar_status").error().ends_with("state.json is no JSON object"));
}
