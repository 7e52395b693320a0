//! Steps, conditions and parameters of Triggers.

use crate::scene::Scene;

#[test]
fn steps_are_done_one_after_the_other_with_what_happened() {
    let scene = Scene::of(
        "watch: ROOT/tree\nsettle: 50ms\nthen:\n- { id: a, use: note, with: { it: { from: changes.first } } }\n\
         - { run: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told; echo $SETPOINT_MESSAGE_TYPE > ROOT/type'] }\n---\n\
         kind: Capability\nname: note\nparams: { it: { type: string, required: true } }\n\
         run: [sh, -c, 'echo $SETPOINT_PARAM_IT >> ROOT/notes']\n",
    )
    .begun();
    scene.put("tree/a.rs", "");
    scene.tells(0, &["create tree/a.rs"]);
    let notes = std::fs::read_to_string(scene.path("notes")).expect("notes");
    assert_eq!(notes.trim(), scene.path("tree/a.rs").to_string_lossy());
    let kind = || std::fs::read_to_string(scene.path("type")).unwrap_or_default();
    scene.world.until("its type is known", || kind().trim() == "setpoint.files.changed");
}

#[test]
fn a_condition_that_is_not_met_does_nothing() {
    let scene = Scene::new("watch: ROOT/tree\nsettle: 50ms\nwhen: { command: [grep, -q, yes.rs] }\n");
    scene.put("tree/no.rs", "");
    scene.world.until("it was asked", || scene.world.run(&["runs", "trigger/t"]).out.lines().count() > 1);
    scene.put("tree/yes.rs", "");
    scene.tells(0, &["create tree/yes.rs"]);
}

/// What `import` writes beside a service that its source starts anew when files change.
#[test]
fn a_service_is_started_anew_when_files_change() {
    let scene = Scene::of(&format!(
        "watch: ROOT/tree\nsettle: 50ms\nrun: [{}, restart, service/web]\n---\n\
         kind: Service\nname: web\nrun: sleep 1000\n",
        env!("CARGO_BIN_EXE_setpoint")
    ))
    .begun();
    let pid = || {
        let said = scene.world.run(&["get", "service/web", "-o", "json"]).out;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        said["items"][0]["status"]["instances"][0]["pid"].as_u64()
    };
    scene.world.until("it runs", || pid().is_some());
    let before = pid();
    scene.put("tree/a.rs", "");
    scene.world.until("another runs", || pid().is_some_and(|pid| Some(pid) != before));
}

#[test]
fn parameters_come_as_variables() {
    let scene = Scene::of(
        "watch: ROOT/tree\nsettle: 50ms\nwith: { first: { from: changes.first } }\n\
         when: changes.total > 0\nrun: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told; echo $SETPOINT_PARAM_FIRST > ROOT/first']\n",
    )
    .begun();
    scene.put("tree/a.rs", "");
    scene.tells(0, &["create tree/a.rs"]);
    let first = || std::fs::read_to_string(scene.path("first")).unwrap_or_default();
    scene.world.until("it is given", || first().trim() == scene.path("tree/a.rs").to_string_lossy());
}
