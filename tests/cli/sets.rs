//! Who owns an object, what is left over, and what it takes to remove it.

use expect_test::expect;

use crate::words::transcript;
use crate::world::{World, service};

fn four() -> World {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.write(&format!("{name}.yaml"), &service(name, "sleep 1000", ""));
    }
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    world
}

#[test]
fn what_no_file_names_any_more_is_left_over_until_it_is_pruned() {
    let world = four();
    let lines = [
        "rm manifests/a.yaml; setpoint diff -f manifests",
        "setpoint apply -f manifests --no-start -q",
        "setpoint get -o name -q",
        "setpoint diff -f manifests --prune",
        "setpoint apply -f manifests/b.yaml --prune --no-start",
        "cat manifests/b.yaml | setpoint apply -f - --prune --no-start",
        "echo 'run: [' >manifests/broken.yaml; setpoint apply -f manifests --prune --no-start -q 2>&1 | tail -1",
        "rm manifests/broken.yaml; setpoint apply -f manifests --prune --no-start -q",
        "setpoint get -o name -q",
        "rm manifests/b.yaml manifests/c.yaml; setpoint apply -f manifests --prune --no-start",
        "setpoint diff -f manifests --prune",
        "setpoint apply -f manifests --prune --yes --no-start -q",
        "setpoint get -o name -q",
        "rm manifests/d.yaml; setpoint apply -f manifests --prune --no-start",
        "setpoint apply -f manifests --prune --yes --no-start -q",
        "setpoint get",
    ];
    expect![[r#"
        $ rm manifests/a.yaml; setpoint diff -f manifests
            3 unchanged
          ! service/a            left over: in the set "ROOT/manifests", no longer in these files (remove with --prune)
          Nothing to change.
        = 0
        $ setpoint apply -f manifests --no-start -q
            3 unchanged
          ! service/a            left over: in the set "ROOT/manifests", no longer in these files (remove with --prune)
        = 0
        $ setpoint get -o name -q
          service/a
          service/b
          service/c
          service/d
        = 0
        $ setpoint diff -f manifests --prune
          - service/a            stop          (in the set "ROOT/manifests", and no longer in these files)
            3 unchanged
          Plan PLAN: 0 add, 0 change, 1 remove, 0 left over.   Apply it: setpoint apply -f manifests --prune --expect PLAN
        = 1
        $ setpoint apply -f manifests/b.yaml --prune --no-start
        ! error: --prune needs a whole folder, and the file ROOT/manifests/b.yaml is not one: what is in no file could not be told from what is in another file
        !   help: give the folder with -f, or name what should go: setpoint delete KIND/NAME
        = 2
        $ cat manifests/b.yaml | setpoint apply -f - --prune --no-start
        ! error: service/b belongs to the set "ROOT/manifests" (ROOT/manifests/b.yaml), and stdin would put it into "default"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ echo 'run: [' >manifests/broken.yaml; setpoint apply -f manifests --prune --no-start -q 2>&1 | tail -1
          1 error in 1 of 4 files. Nothing was changed.
        = 0
        $ rm manifests/broken.yaml; setpoint apply -f manifests --prune --no-start -q
          - service/a            stop          (in the set "ROOT/manifests", and no longer in these files)
            3 unchanged
        = 0
        $ setpoint get -o name -q
          service/b
          service/c
          service/d
        = 0
        $ rm manifests/b.yaml manifests/c.yaml; setpoint apply -f manifests --prune --no-start
        ! error: --prune would remove 2 of 3 objects of the set "ROOT/manifests": nothing was changed
        !   help: if that is what you want, add --yes
        = 5
        $ setpoint diff -f manifests --prune
          - service/b            stop          (in the set "ROOT/manifests", and no longer in these files)
          - service/c            stop          (in the set "ROOT/manifests", and no longer in these files)
            1 unchanged
          Plan PLAN: 0 add, 0 change, 2 remove, 0 left over.   Apply it: setpoint apply -f manifests --prune --expect PLAN
        ! note: --prune would remove 2 of 3 objects of the set "ROOT/manifests"; apply will ask for --yes
        = 1
        $ setpoint apply -f manifests --prune --yes --no-start -q
          - service/b            stop          (in the set "ROOT/manifests", and no longer in these files)
          - service/c            stop          (in the set "ROOT/manifests", and no longer in these files)
            1 unchanged
        = 0
        $ setpoint get -o name -q
          service/d
        = 0
        $ rm manifests/d.yaml; setpoint apply -f manifests --prune --no-start
        ! warning: there are no manifests in this folder
        ! --> manifests
        !  = help: manifests end in .yaml, .yml, .json or .md
        !
        ! error: --prune would remove 1 of 1 objects of the set "ROOT/manifests": nothing was changed
        !   help: if that is what you want, add --yes
        = 5
        $ setpoint apply -f manifests --prune --yes --no-start -q
          - service/d            stop          (in the set "ROOT/manifests", and no longer in these files)
        ! warning: there are no manifests in this folder
        ! --> manifests
        !  = help: manifests end in .yaml, .yml, .json or .md
        !
        = 0
        $ setpoint get
          There is nothing yet. Write a manifest (setpoint init) and apply it: setpoint apply -f manifests/
        = 0
    "#]].assert_eq(&transcript(&world, &lines));
}

#[test]
fn an_object_of_another_set_is_taken_only_on_purpose() {
    let world = four();
    std::fs::create_dir(world.root().join("other")).expect("a folder");
    std::fs::write(world.root().join("other/a.yaml"), service("a", "sleep 2000", "")).expect("a manifest");
    let lines = [
        "setpoint apply -f other --no-start",
        "setpoint diff -f other",
        "setpoint get a -o json | grep sleep",
        "setpoint apply -f other --take --no-start",
        "setpoint apply -f manifests --no-start",
        "printf 'set: mine\\n' >other/setpoint.yaml; setpoint diff -f other",
    ];
    expect![[r#"
        $ setpoint apply -f other --no-start
        ! error: service/a belongs to the set "ROOT/manifests" (ROOT/manifests/a.yaml), and ROOT/other/a.yaml would put it into "ROOT/other"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ setpoint diff -f other
        ! error: service/a belongs to the set "ROOT/manifests" (ROOT/manifests/a.yaml), and ROOT/other/a.yaml would put it into "ROOT/other"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ setpoint get a -o json | grep sleep
                  "run": "sleep 1000"
        ! no controller runs, so nothing is started or stopped: setpoint controller start
        = 0
        $ setpoint apply -f other --take --no-start
          ~ service/a            restart       (dir, run changed; taken over from the set "ROOT/manifests")
              dir      "ROOT/manifests"  ->  "ROOT/other"
              run      "sleep 1000"  ->  "sleep 2000"
        ! Applied PLAN: 0 add, 1 change, 0 remove, 0 left over; generation 2.   Next: setpoint get
        ! no controller runs, so nothing is done about it yet; start one: setpoint controller start
        = 0
        $ setpoint apply -f manifests --no-start
        ! error: service/a belongs to the set "ROOT/other" (ROOT/other/a.yaml), and ROOT/manifests/a.yaml would put it into "ROOT/manifests"
        !   help: apply the set they belong to, or take them over with --take
        = 5
        $ printf 'set: mine\n' >other/setpoint.yaml; setpoint diff -f other
        ! error: service/a belongs to the set "ROOT/other" (ROOT/other/a.yaml), and ROOT/other/a.yaml would put it into "mine"
        !   help: apply the set they belong to, or take them over with --take
        = 5
    "#]].assert_eq(&transcript(&world, &lines));
}
