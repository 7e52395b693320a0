//! The desired state: what an apply changes, what is refused, and what survives.
//!
//! In: scripts that act on a real home in a temporary folder. Out: what a person would read.
//! The surprise: nothing is faked but the manifests; generations, locks and attempt files are real.

#[path = "desired/home.rs"]
mod home;
#[path = "desired/live.rs"]
mod live;
#[path = "desired/manifests.rs"]
mod manifests;
#[path = "desired/script.rs"]
mod script;
#[path = "desired/store.rs"]
mod store;

use expect_test::expect;
use script::check;

#[test]
fn what_diff_shows_is_what_apply_does() {
    check(
        "diff  folder:/f web=a db=b
         apply folder:/f web=a db=b
         apply folder:/f web=a db=b
         diff  folder:/f web=c db=b
         apply folder:/f web=c db=b",
        expect![[r#"
            > diff folder:/f web=a db=b
            + service/db           start         (new)
            + service/web          start         (new)
            p-5ef511: 2 add, 0 change, 0 remove, 0 left over
            > apply folder:/f web=a db=b
            + service/db           start         (new)
            + service/web          start         (new)
            p-5ef511: 2 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply folder:/f web=a db=b
              2 unchanged
            p-cd2662: 0 add, 0 change, 0 remove, 0 left over
            nothing to write
            > diff folder:/f web=c db=b
            ~ service/web          restart       (run changed)
                run      "a"  ->  "c"
              1 unchanged
            p-5e156d: 0 add, 1 change, 0 remove, 0 left over
            > apply folder:/f web=c db=b
            ~ service/web          restart       (run changed)
                run      "a"  ->  "c"
              1 unchanged
            p-5e156d: 0 add, 1 change, 0 remove, 0 left over
            generation 2 by apply
        "#]],
    );
}

#[test]
fn fields_are_named_with_their_effect() {
    check(
        r#"apply folder:/f web=a,labels.app=x,env.PORT=80
           diff  folder:/f web=a,labels.app=y,env.PORT=81,env.X.Y=1,replicas=3"#,
        expect![[r#"
            > apply folder:/f web=a,labels.app=x,env.PORT=80
            + service/web          start         (new)
            p-68b82b: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > diff folder:/f web=a,labels.app=y,env.PORT=81,env.X.Y=1,replicas=3
            ~ service/web          restart       (env, replicas, labels changed)
                env.PORT   "80"  ->  "81"
                env["X.Y"] (unset)  ->  "1"
                replicas   (unset)  ->  3
                labels.app "x"  ->  "y"
            p-dad85f: 0 add, 1 change, 0 remove, 0 left over
        "#]],
    );
}

#[test]
fn the_json_of_a_diff_has_the_promised_shape() {
    check(
        "apply folder:/f web=a old=a same=a
         json  folder:/f web=b same=a new=a",
        expect![[r#"
            > apply folder:/f web=a old=a same=a
            + service/old          start         (new)
            + service/same         start         (new)
            + service/web          start         (new)
            p-922ee2: 3 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > json folder:/f web=b same=a new=a
            {
              "changes": [
                {
                  "action": "add",
                  "fields": [],
                  "object": "service/new",
                  "reason": "new"
                },
                {
                  "action": "change",
                  "fields": [
                    {
                      "effect": "restart",
                      "from": "a",
                      "path": "run",
                      "to": "b"
                    }
                  ],
                  "object": "service/web",
                  "reason": "run changed"
                },
                {
                  "action": "leftover",
                  "fields": [],
                  "object": "service/old",
                  "reason": "in the set \"/f\", no longer in these files"
                },
                {
                  "action": "unchanged",
                  "fields": [],
                  "object": "service/same",
                  "reason": "as declared"
                }
              ],
              "plan": "p-c4c928",
              "summary": {
                "add": 1,
                "change": 1,
                "leftover": 1,
                "remove": 0,
                "unchanged": 1
              }
            }
        "#]],
    );
}

#[test]
fn a_plan_names_exactly_one_base_and_one_change() {
    check(
        "diff  folder:/f web=a
         diff  folder:/f web=a
         diff  folder:/f web=b
         apply folder:/g other=a
         diff  folder:/f web=a
         apply folder:/f expect:p-000000 web=a",
        expect![[r#"
            > diff folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            > diff folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            > diff folder:/f web=b
            + service/web          start         (new)
            p-6eeb7a: 1 add, 0 change, 0 remove, 0 left over
            > apply folder:/g other=a
            + service/other        start         (new)
            p-9ab275: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > diff folder:/f web=a
            + service/web          start         (new)
            p-599d80: 1 add, 0 change, 0 remove, 0 left over
            > apply folder:/f expect:p-000000 web=a
            + service/web          start         (new)
            p-599d80: 1 add, 0 change, 0 remove, 0 left over
            stale
        "#]],
    );
}

#[test]
fn leftovers_are_shown_and_removed_only_when_asked() {
    check(
        "apply folder:/f a=1 b=1 c=1
         apply folder:/f a=1 b=1
         apply folder:/f prune a=1 b=1
         state",
        expect![[r#"
            > apply folder:/f a=1 b=1 c=1
            + service/a            start         (new)
            + service/b            start         (new)
            + service/c            start         (new)
            p-cd26d8: 3 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply folder:/f a=1 b=1
              2 unchanged
            ! service/c            left over: in the set "/f", no longer in these files (remove with --prune)
            p-cd2662: 0 add, 0 change, 0 remove, 1 left over
            nothing to write
            > apply folder:/f prune a=1 b=1
            - service/c            stop          (in the set "/f", and no longer in these files)
              2 unchanged
            p-b853d1: 0 add, 0 change, 1 remove, 0 left over
            generation 2 by apply
            > state
              service/a run "1" in /f, version 1
              service/b run "1" in /f, version 1
        "#]],
    );
}

#[test]
fn pruning_most_of_a_set_needs_a_yes() {
    check(
        "apply folder:/f a=1 b=1 c=1
         apply folder:/f prune a=1
         apply folder:/f prune
         apply folder:/f prune yes
         state",
        expect![[r#"
            > apply folder:/f a=1 b=1 c=1
            + service/a            start         (new)
            + service/b            start         (new)
            + service/c            start         (new)
            p-cd26d8: 3 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply folder:/f prune a=1
            - service/b            stop          (in the set "/f", and no longer in these files)
            - service/c            stop          (in the set "/f", and no longer in these files)
              1 unchanged
            p-ab3767: 0 add, 0 change, 2 remove, 0 left over
            needs --yes: --prune would remove 2 of 3 objects of the set "/f"
            > apply folder:/f prune
            - service/a            stop          (in the set "/f", and no longer in these files)
            - service/b            stop          (in the set "/f", and no longer in these files)
            - service/c            stop          (in the set "/f", and no longer in these files)
            p-94d65a: 0 add, 0 change, 3 remove, 0 left over
            needs --yes: --prune would remove 3 of 3 objects of the set "/f"
            > apply folder:/f prune yes
            - service/a            stop          (in the set "/f", and no longer in these files)
            - service/b            stop          (in the set "/f", and no longer in these files)
            - service/c            stop          (in the set "/f", and no longer in these files)
            p-94d65a: 0 add, 0 change, 3 remove, 0 left over
            generation 2 by apply
            > state
        "#]],
    );
}

#[test]
fn files_and_stdin_add_and_change_only() {
    check(
        "apply folder:/f a=1 b=1
         apply file:/f/sub/c.yaml c=1
         apply file:/elsewhere/d.yaml d=1
         apply stdin e=1
         apply file:/f/a.yaml a=2
         apply file:/f/a.yaml prune a=2
         apply stdin prune e=2
         state",
        expect![[r#"
            > apply folder:/f a=1 b=1
            + service/a            start         (new)
            + service/b            start         (new)
            p-95ba2d: 2 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply file:/f/sub/c.yaml c=1
            + service/c            start         (new)
            p-f9bfef: 1 add, 0 change, 0 remove, 0 left over
            generation 2 by apply
            > apply file:/elsewhere/d.yaml d=1
            + service/d            start         (new)
            p-c1d848: 1 add, 0 change, 0 remove, 0 left over
            generation 3 by apply
            > apply stdin e=1
            + service/e            start         (new)
            p-57338e: 1 add, 0 change, 0 remove, 0 left over
            generation 4 by apply
            > apply file:/f/a.yaml a=2
            ~ service/a            restart       (run changed)
                run      "1"  ->  "2"
            p-a53c10: 0 add, 1 change, 0 remove, 0 left over
            generation 5 by apply
            > apply file:/f/a.yaml prune a=2
            refused: --prune needs a whole folder, and the file /f/a.yaml is not one: what is in no file could not be told from what is in another file
              help: give the folder with -f, or name what should go: setpoint delete KIND/NAME
            > apply stdin prune e=2
            refused: --prune needs a whole folder, and stdin is not one: what is in no file could not be told from what is in another file
              help: give the folder with -f, or name what should go: setpoint delete KIND/NAME
            > state
              service/a run "2" in /f, version 2
              service/b run "1" in /f, version 1
              service/c run "1" in /f, version 1
              service/d run "1" in default, version 1
              service/e run "1" in default, version 1
        "#]],
    );
}

#[test]
fn an_object_belongs_to_one_set() {
    check(
        "apply folder:/f web=a
         apply folder:/g web=a db=a
         apply folder:/g take web=a db=a
         diff  folder:/f web=a
         apply folder:/f set:mine other=a
         diff  folder:/h set:mine other=a
         apply stdin other=b
         diff  folder:/f set:mine",
        expect![[r#"
            > apply folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply folder:/g web=a db=a
            refused: service/web belongs to the set "/f" (/f/web.yaml), and /g/web.yaml would put it into "/g"
              help: apply the set they belong to, or take them over with --take
            > apply folder:/g take web=a db=a
            + service/db           start         (new)
            ~ service/web          no effect     (taken over from the set "/f")
            p-d14aec: 1 add, 1 change, 0 remove, 0 left over
            generation 2 by apply
            > diff folder:/f web=a
            refused: service/web belongs to the set "/g" (/g/web.yaml), and /f/web.yaml would put it into "/f"
              help: apply the set they belong to, or take them over with --take
            > apply folder:/f set:mine other=a
            + service/other        start         (new)
            p-7412ac: 1 add, 0 change, 0 remove, 0 left over
            generation 3 by apply
            > diff folder:/h set:mine other=a
              1 unchanged
            p-d5688a: 0 add, 0 change, 0 remove, 0 left over
            > apply stdin other=b
            refused: service/other belongs to the set "mine" (/f/other.yaml), and stdin would put it into "default"
              help: apply the set they belong to, or take them over with --take
            > diff folder:/f set:mine
            ! service/other        left over: in the set "mine", no longer in these files (remove with --prune)
            p-d5688a: 0 add, 0 change, 0 remove, 1 left over
        "#]],
    );
}

#[test]
fn an_edit_forgives_and_a_restart_replaces_exactly_the_attempts_so_far() {
    check(
        "apply folder:/f web=a
         attempt service/web/0 6
         attempt service/web/1 2
         apply folder:/f web=a
         apply folder:/f web=a,labels.x=y
         state
         attempt service/web/0 7
         restart service/web
         state",
        expect![[r#"
            > apply folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > attempt service/web/0 6
            > attempt service/web/1 2
            > apply folder:/f web=a
              1 unchanged
            p-cd2662: 0 add, 0 change, 0 remove, 0 left over
            nothing to write
            > apply folder:/f web=a,labels.x=y
            ~ service/web          no effect     (labels changed)
                labels.x (unset)  ->  "y"
            p-1b73d3: 0 add, 1 change, 0 remove, 0 left over
            generation 2 by apply
            > state
              service/web run "a" in /f, version 2 {"forgiven":{"0":6,"1":2}}
            > attempt service/web/0 7
            > restart service/web
            generation 3 by restart
            > state
              service/web run "a" in /f, version 2 {"forgiven":{"0":7,"1":2},"restart":{"0":7,"1":2}}
        "#]],
    );
}

#[test]
fn a_pause_is_kept_by_apply_until_it_is_resumed() {
    check(
        "apply folder:/f web=a
         pause service/web
         apply folder:/f web=b
         state
         attempt service/web/0 3
         resume service/web
         resume service/web
         state",
        expect![[r#"
            > apply folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > pause service/web
            generation 2 by pause
            > apply folder:/f web=b
            ~ service/web          restart       (run changed)
                run      "a"  ->  "b"
            p-ff24c9: 0 add, 1 change, 0 remove, 0 left over
            generation 3 by apply
            > state
              service/web run "b" in /f, version 2 paused
            > attempt service/web/0 3
            > resume service/web
            generation 4 by resume
            > resume service/web
            nothing to write
            > state
              service/web run "b" in /f, version 2 {"forgiven":{"0":3}}
        "#]],
    );
}

#[test]
fn history_lists_versions_and_undo_goes_back() {
    check(
        "apply folder:/f web=a
         apply folder:/f web=b
         pause service/web
         apply folder:/f web=b other=a
         undo service/web
         undo service/web
         undo service/web 1
         undo service/web 1
         undo service/web 99
         undo service/web 0
         delete service/web
         state
         undo service/web
         state
         history service/web",
        expect![[r#"
            > apply folder:/f web=a
            + service/web          start         (new)
            p-0fe274: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > apply folder:/f web=b
            ~ service/web          restart       (run changed)
                run      "a"  ->  "b"
            p-7df6c2: 0 add, 1 change, 0 remove, 0 left over
            generation 2 by apply
            > pause service/web
            generation 3 by pause
            > apply folder:/f web=b other=a
            + service/other        start         (new)
              1 unchanged
            p-b52cbe: 1 add, 0 change, 0 remove, 0 left over
            generation 4 by apply
            > undo service/web
            generation 5 by undo
            > undo service/web
            generation 6 by undo
            > undo service/web 1
            generation 7 by undo
            > undo service/web 1
            error: service/web is as it was in generation 1: nothing to undo
            > undo service/web 99
            error: generation 99 is not kept; there are 1 to 7
              help: setpoint history service/web lists what there is
            > undo service/web 0
            error: generation 0 is not kept; there are 1 to 7
              help: setpoint history service/web lists what there is
            > delete service/web
            generation 8 by delete
            > state
              service/other run "a" in /f, version 1
            > undo service/web
            generation 9 by undo
            > state
              service/other run "a" in /f, version 1
              service/web run "a" in /f, version 1
            > history service/web
              1 apply: created
              2 apply: run changed
              3 pause: paused
              5 undo: run changed
              6 undo: run changed
              7 undo: run changed
              8 delete: deleted
              9 undo: created
        "#]],
    );
}

#[test]
fn a_recreated_object_is_another_one_without_a_tombstone() {
    check(
        "apply folder:/f web=a,stop.signal=INT,stop.grace=30s
         delete service/web
         tombstones
         apply folder:/f web=a
         tombstones
         delete service/web keep-running
         tombstones
         history service/web",
        expect![[r#"
            > apply folder:/f web=a,stop.signal=INT,stop.grace=30s
            + service/web          start         (new)
            p-51b3b3: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > delete service/web
            generation 2 by delete
            > tombstones
              service/web went with generation 2: signal 2, KILL after 30s
            > apply folder:/f web=a
            + service/web          start         (new)
            p-00026b: 1 add, 0 change, 0 remove, 0 left over
            generation 3 by apply
            > tombstones
            > delete service/web keep-running
            generation 4 by delete
            > tombstones
            > history service/web
              1 apply: created
              2 delete: deleted
              3 apply: created
              4 delete: deleted
        "#]],
    );
}

#[test]
fn objects_are_found_by_any_spelling_and_the_rest_is_guessed() {
    check(
        "apply folder:/f web=a worker=a db=a
         find web
         find Services/web
         find svc web db
         find web service/db web
         find wep
         find service/wep svc/dc
         find servce/web
         find nothing-like-it",
        expect![[r#"
            > apply folder:/f web=a worker=a db=a
            + service/db           start         (new)
            + service/web          start         (new)
            + service/worker       start         (new)
            p-1ba6d4: 3 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > find web
              [("service/web")]
            > find Services/web
              [("service/web")]
            > find svc web db
              [("service/web"), ("service/db")]
            > find web service/db web
              [("service/web"), ("service/db")]
            > find wep
            error: there is no `wep`
              help: did you mean `service/web`?
            > find service/wep svc/dc
            error: there is no `service/wep`
              help: did you mean `service/web`?
            error: there is no `service/dc`
              help: did you mean `service/db`?
            > find servce/web
            error: there is no kind `servce`
              help: did you mean `service/web`?
            > find nothing-like-it
            error: there is no `nothing-like-it`
              help: setpoint get lists what there is
        "#]],
    );
}
