//! Things that happen set off what waits for them, never themselves, and no endless chain.

use serde_json::Value;

use crate::asks::start;
use crate::scene::Scene;

const TELL: &str = "run: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told']\n";

/// Fails and goes well in turns, so that each run is worth an event.
fn flip(mark: &str) -> String {
    format!("if test -e {mark}; then rm {mark}; else touch {mark}; exit 1; fi")
}

fn bad_job(scene: &Scene) {
    let flip = flip(&scene.path("flip").to_string_lossy());
    let jobs = format!("kind: Job\nname: bad\nrun: exit 3\n---\nkind: Job\nname: flip\nrun: '{flip}'\n");
    scene.world.write("bad.yaml", &jobs);
    scene.world.apply();
}

#[test]
fn an_event_sets_off_what_waits_for_it() {
    let mut scene = Scene::of(&format!("event: job.failed\nwhen: \"event.object == 'job/bad'\"\n{TELL}"));
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    scene.world.until("it is told", || !scene.told().is_empty());
    let told = scene.told();
    let event: &Value = &told[0]["event"];
    assert_eq!((event["type"].as_str(), event["object"].as_str()), (Some("setpoint.job.failed"), Some("job/bad")));
    assert!(event["text"].as_str().is_some_and(|text| text.contains("exit 3")), "{event}");
    assert_eq!(told[0]["trigger"], "t");
}

#[test]
fn a_trigger_that_fails_does_not_set_off_itself() {
    let mut scene =
        Scene::of("event: \"*\"\nretry: { times: 0 }\nrun: 'cat >> ROOT/told; echo >> ROOT/told; exit 1'\n");
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    scene.world.until("both jobs are over", || scene.told().iter().any(|told| told["event"]["object"] == "job/bad"));
    scene.world.until("its own failure is an event", || scene.events().iter().any(|(_, e)| e.contains("trigger/t/")));
    let own = scene.told().iter().filter(|told| told["event"]["object"] == "trigger/t").count();
    assert_eq!(own, 0, "{:?}", scene.told());
}

#[test]
fn two_that_set_off_each_other_end() {
    // In one write each, since both are at work at once.
    let one = |events: &str, mark: &str| {
        let run = format!("printf \"%s\\n\" \"$(cat)\" >> ROOT/told; {}", flip(mark));
        format!("event: {events}\nlimit: {{ times: 1000, within: 1h }}\nretry: {{ times: 0 }}\nrun: '{run}'\n")
    };
    let (t, u) = (one("[job.failed, trigger.*]", "ROOT/t-mark"), one("trigger.*", "ROOT/u-mark"));
    let mut scene = Scene::of(&format!("{t}---\nkind: Trigger\nname: u\n{u}"));
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    scene.world.until("the chain is cut", || scene.events().iter().any(|(kind, _)| kind.ends_with("trigger.cut")));
    // Two jobs failed, and each began a chain of eight.
    let told = scene.told().len();
    assert!((8..=16).contains(&told), "{told}");
}

#[test]
fn a_limit_is_kept_and_told_once() {
    let mut scene = Scene::of(&format!("event: job.*\nlimit: {{ times: 2, within: 1h }}\n{TELL}"));
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    scene.world.until("two are told", || scene.told().len() == 2);
    for _ in 0..5 {
        start(&scene.world, "job/flip", &serde_json::json!({})).expect("a run");
    }
    let limited = || scene.events().iter().filter(|(kind, _)| kind.ends_with("trigger.limited")).count();
    scene.world.until("it is told", || limited() == 1);
    assert_eq!(scene.told().len(), 2);
}

#[test]
fn one_that_is_paused_or_switched_off_is_not_set_off() {
    let mut scene = Scene::of(&format!(
        "event: job.failed\nenabled: false\n{TELL}---\nkind: Trigger\nname: u\nevent: job.failed\n{TELL}"
    ));
    scene.world.ok(&["pause", "trigger/u"]);
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    scene.world.until("it failed", || scene.events().iter().any(|(kind, _)| kind.ends_with("job.failed")));
    scene.world.ok(&["resume", "trigger/u"]);
    crate::asks::ask(&scene.world, "runs.retry", &serde_json::json!({ "object": "job/bad", "run": "1" }));
    scene.world.until("it is set off again", || {
        start(&scene.world, "job/flip", &serde_json::json!({}));
        scene.world.write("worse.yaml", &format!("kind: Job\nname: worse\nrun: exit {}\n", 1 + scene.told().len()));
        scene.world.apply();
        !scene.told().is_empty()
    });
    assert!(scene.told().iter().all(|told| told["trigger"] == "u"), "{:?}", scene.told());
}

#[test]
fn what_one_says_of_itself_sets_off_no_other() {
    let mut scene = Scene::of(&format!(
        "event: job.*\nlimit: {{ times: 1, within: 1h }}\n{TELL}---\nkind: Trigger\nname: u\nevent: trigger.limited\n{TELL}"
    ));
    scene.controller = Some(scene.world.controller());
    bad_job(&scene);
    let is_limited = || scene.events().iter().any(|(kind, _)| kind.ends_with("trigger.limited"));
    scene.world.until("the limit is told", || {
        start(&scene.world, "job/flip", &serde_json::json!({}));
        is_limited()
    });
    // What comes after it is told, and it is not.
    start(&scene.world, "job/flip", &serde_json::json!({})).expect("a run");
    scene.world.until("all is over", || !scene.told().is_empty());
    assert!(scene.told().iter().all(|told| told["trigger"] == "t"), "{:?}", scene.told());
}
