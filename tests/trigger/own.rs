//! What a run writes itself, what is written meanwhile, and what a killed controller leaves.

use crate::scene::Scene;

#[test]
fn a_run_that_writes_what_it_watches_is_set_off_once_more_and_no_more() {
    let scene = Scene::of(
        "watch: ROOT/tree\nsettle: 50ms\nrun: [sh, -c, 'cat >> ROOT/told; echo >> ROOT/told; date +%N > ROOT/tree/out.rs']\n",
    )
    .begun();
    scene.put("tree/in.rs", "1");
    scene.tells(0, &["create tree/in.rs"]);
    scene.tells(1, &["create tree/out.rs"]);
    scene.world.until("it is known as its own", || {
        scene.facts()["products"].as_array().is_some_and(|products| products.len() == 1)
    });
    // From then on nothing that a run writes there counts, and what others write does.
    scene.put("tree/in.rs", "22");
    scene.tells(2, &["modify tree/in.rs"]);
    scene.fence();
    assert_eq!(scene.told().len(), 4, "{:?}", scene.all());
    let told = scene.events().iter().filter(|(kind, _)| kind.ends_with("trigger.own-product")).count();
    assert_eq!(told, 1, "{:?}", scene.events());
}

#[test]
fn what_a_person_saves_during_a_long_run_is_told_after_it() {
    let scene = Scene::of(
        "watch: ROOT/tree\nsettle: 50ms\nrun: 'cat >> ROOT/told; echo >> ROOT/told; while test -e ROOT/hold; do sleep 0.05; done'\n",
    )
    .begun();
    scene.put("hold", "");
    scene.put("tree/a.rs", "1");
    scene.hears(0, &["create tree/a.rs"]);
    scene.put("tree/a.rs", "22");
    scene.put("tree/b.rs", "1");
    scene.world.until("both are kept", || scene.facts()["kept"] == 2);
    assert_eq!(scene.told().len(), 1);
    std::fs::remove_file(scene.path("hold")).expect("a delete");
    scene.tells(1, &["modify tree/a.rs", "create tree/b.rs"]);
    scene.fence();
    assert_eq!(scene.told().len(), 3, "{:?}", scene.all());
}

#[test]
fn what_was_taken_survives_a_killed_controller() {
    let scene = Scene::of(
        "watch: ROOT/tree\nsettle: 0s\nretry: { times: 20, wait: 100ms }\n\
         run: 'test -e ROOT/go || exit 1; cat >> ROOT/told; echo >> ROOT/told'\n",
    );
    let mut scene = scene.begun();
    scene.put("tree/a.rs", "1");
    scene.world.until("it was tried", || {
        let runs = crate::asks::runs(&scene.world, "trigger/t");
        runs.values().any(|row| row.attempts > 0)
            || scene.world.run(&["runs", "trigger/t"]).out.contains("failed")
            || std::fs::read_to_string(scene.world.home().join("controller.log"))
                .unwrap_or_default()
                .contains("exited 1")
    });
    scene.controller.take().expect("a controller").kill();
    scene.put("go", "");
    let scene = scene.begun();
    scene.tells(0, &["create tree/a.rs"]);
    // What changed while no controller lived is where it begins from.
    scene.fence();
    assert_eq!(scene.told().len(), 2, "{:?}", scene.all());
}
