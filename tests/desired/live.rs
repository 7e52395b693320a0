//! Live folders: last good versions, vanished files, clashes, and who may touch what.

use expect_test::expect;

use super::script::check;

#[test]
fn a_live_folder_is_applied_at_every_change_and_only_then() {
    check(
        "live folder:/f web=a db=a
         live folder:/f web=a db=a
         live folder:/f web=b db=a
         sets",
        expect![[r#"
            > live folder:/f web=a db=a
              Add service/db: new
              Add service/web: new
            generation 1 by live
            > live folder:/f web=a db=a
            nothing to write
            > live folder:/f web=b db=a
              Change service/web: run changed
            generation 2 by live
            > sets
            {"/f":{"folders":["/f"],"live":true}}
        "#]],
    );
}

#[test]
fn a_broken_file_keeps_the_last_good_version_and_removes_nothing() {
    check(
        "live folder:/f web=a db=a x=a
         live folder:/f broken db=b x=a confirmed
         state",
        expect![[r#"
            > live folder:/f web=a db=a x=a
              Add service/db: new
              Add service/web: new
              Add service/x: new
            generation 1 by live
            > live folder:/f broken db=b x=a confirmed
              Change service/db: run changed
            generation 2 by live
            > state
              service/db run "b" in /f, version 2
              service/web run "a" in /f, version 1
              service/x run "a" in /f, version 1
        "#]],
    );
}

#[test]
fn a_vanished_file_counts_once_it_is_confirmed() {
    check(
        "live folder:/f a=1 b=1 c=1
         live folder:/f a=1 b=1
         live folder:/f a=1 b=1 confirmed
         state
         tombstones",
        expect![[r#"
            > live folder:/f a=1 b=1 c=1
              Add service/a: new
              Add service/b: new
              Add service/c: new
            generation 1 by live
            > live folder:/f a=1 b=1
              service/c may be gone
            nothing to write
            > live folder:/f a=1 b=1 confirmed
              Remove service/c: its file in /f has gone
            generation 2 by live
            > state
              service/a run "1" in /f, version 1
              service/b run "1" in /f, version 1
            > tombstones
              service/c went with generation 2: signal 15, KILL after 10s
        "#]],
    );
}

#[test]
fn losing_most_of_a_folder_waits_for_a_person_whatever_comes_later() {
    check(
        "live folder:/f a=1 b=1 c=1
         live folder:/f a=1 confirmed
         live folder:/f a=1 d=1 e=1 f=1 confirmed
         live folder:/f a=1 b=1 d=1 e=1 f=1 confirmed
         state
         apply folder:/f prune a=1 b=1 d=1 e=1 f=1
         state",
        expect![[r#"
            > live folder:/f a=1 b=1 c=1
              Add service/a: new
              Add service/b: new
              Add service/c: new
            generation 1 by live
            > live folder:/f a=1 confirmed
              Leftover service/b: /f lost more than half of its objects at once
              Leftover service/c: /f lost more than half of its objects at once
              WARN /f no longer holds all of its objects; 2 left over and kept: service/b service/c; put the files back, or remove them for good: setpoint delete service/b service/c
            generation 2 by live
            > live folder:/f a=1 d=1 e=1 f=1 confirmed
              Add service/d: new
              Add service/e: new
              Add service/f: new
              WARN /f no longer holds all of its objects; 2 left over and kept: service/b service/c; put the files back, or remove them for good: setpoint delete service/b service/c
            generation 3 by live
            > live folder:/f a=1 b=1 d=1 e=1 f=1 confirmed
              WARN /f no longer holds all of its objects; 1 left over and kept: service/c; put the files back, or remove them for good: setpoint delete service/c
            generation 4 by live
            > state
              service/a run "1" in /f, version 1
              service/b run "1" in /f, version 1
              service/c run "1" in /f, version 1 leftover
              service/d run "1" in /f, version 1
              service/e run "1" in /f, version 1
              service/f run "1" in /f, version 1
            > apply folder:/f prune a=1 b=1 d=1 e=1 f=1
            - service/c            stop          (in the set "/f", and no longer in these files)
              5 unchanged
            p-645cc1: 0 add, 0 change, 1 remove, 0 left over
            generation 5 by apply
            > state
              service/a run "1" in /f, version 1
              service/b run "1" in /f, version 1
              service/d run "1" in /f, version 1
              service/e run "1" in /f, version 1
              service/f run "1" in /f, version 1
        "#]],
    );
}

#[test]
fn an_emptied_or_missing_folder_stops_nothing() {
    check(
        "live folder:/f a=1
         live folder:/f missing
         live folder:/f missing confirmed
         live folder:/f a=1
         live folder:/f confirmed
         delete service/a
         state",
        expect![[r#"
            > live folder:/f a=1
              Add service/a: new
            generation 1 by live
            > live folder:/f missing
              WARN /f cannot be read, so all of its objects are kept: no such folder
              service/a may be gone
            nothing to write
            > live folder:/f missing confirmed
              Leftover service/a: /f cannot be read
              WARN /f no longer holds all of its objects; 1 left over and kept: service/a; put the files back, or remove them for good: setpoint delete service/a
              WARN /f cannot be read, so all of its objects are kept: no such folder
            generation 2 by live
            > live folder:/f a=1
            generation 3 by live
            > live folder:/f confirmed
              Leftover service/a: /f is empty now
              WARN /f no longer holds all of its objects; 1 left over and kept: service/a; put the files back, or remove them for good: setpoint delete service/a
            generation 4 by live
            > delete service/a
            generation 5 by delete
            > state
        "#]],
    );
}

#[test]
fn others_may_not_touch_what_a_controller_follows() {
    check(
        "file $T/f/web.yaml
         live folder:$T/f web=a
         apply folder:/g web=b
         apply folder:/g take web=b
         apply stdin web=b
         delete service/web
         pause service/web
         apply folder:$T/f web=c
         undo service/web 1
         live folder:/g other=a
         delete service/web",
        expect![[r#"
            > file $T/f/web.yaml
            > live folder:$T/f web=a
              Add service/web: new
            generation 1 by live
            > apply folder:/g web=b
            refused: service/web comes from $T/f/web.yaml, which a controller follows
              help: edit or remove that file instead; the controller applies it by itself
            > apply folder:/g take web=b
            refused: service/web comes from $T/f/web.yaml, which a controller follows
              help: edit or remove that file instead; the controller applies it by itself
            > apply stdin web=b
            refused: service/web comes from $T/f/web.yaml, which a controller follows
              help: edit or remove that file instead; the controller applies it by itself
            > delete service/web
            refused: service/web comes from $T/f/web.yaml, which a controller follows
              help: edit or remove that file instead; the controller applies it by itself
            > pause service/web
            generation 2 by pause
            > apply folder:$T/f web=c
            ~ service/web          restart       (run changed)
                run      "a"  ->  "c"
            0 add, 1 change, 0 remove, 0 left over
            generation 3 by apply
            > undo service/web 1
            refused: service/web comes from $T/f/web.yaml, which a controller follows
              help: edit or remove that file instead; the controller applies it by itself
            > live folder:/g other=a
              Add service/other: new
            generation 4 by live
            > delete service/web
            generation 5 by delete
        "#]],
    );
}

#[test]
fn the_user_layer_wins_and_the_other_comes_back_when_it_goes() {
    check(
        "live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system
         live folder:/h/jobs web=user x=1 y=1 z=1 | folder:/f web=system
         live folder:/h/jobs broken x=1 y=1 z=1 | folder:/f web=system confirmed
         state
         live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system
         live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system confirmed
         state",
        expect![[r#"
            > live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system
              Add service/web: new
              Add service/x: new
              Add service/y: new
              Add service/z: new
            generation 1 by live
            > live folder:/h/jobs web=user x=1 y=1 z=1 | folder:/f web=system
              Change service/web: run changed; taken over from the set "/f"
              WARN service/web: /h/jobs/web.yaml wins over /f/web.yaml, which has the same name
            generation 2 by live
            > live folder:/h/jobs broken x=1 y=1 z=1 | folder:/f web=system confirmed
              WARN service/web belongs to the set "/h/jobs" (/h/jobs/web.yaml), so /f/web.yaml is not applied; its own folder cannot be read whole at the moment
            nothing to write
            > state
              service/web run "user" in /h/jobs, version 2 layer user
              service/x run "1" in /h/jobs, version 1 layer user
              service/y run "1" in /h/jobs, version 1 layer user
              service/z run "1" in /h/jobs, version 1 layer user
            > live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system
              service/web may be gone
            nothing to write
            > live folder:/h/jobs x=1 y=1 z=1 | folder:/f web=system confirmed
              Change service/web: run changed; taken over from the set "/h/jobs"
            generation 3 by live
            > state
              service/web run "system" in /f, version 3
              service/x run "1" in /h/jobs, version 1 layer user
              service/y run "1" in /h/jobs, version 1 layer user
              service/z run "1" in /h/jobs, version 1 layer user
        "#]],
    );
}

#[test]
fn a_live_folder_takes_nothing_from_sets_that_people_apply() {
    check(
        "apply folder:/g web=a
         live folder:/f web=b other=a
         state",
        expect![[r#"
            > apply folder:/g web=a
            + service/web          start         (new)
            p-38ebaa: 1 add, 0 change, 0 remove, 0 left over
            generation 1 by apply
            > live folder:/f web=b other=a
              Add service/other: new
              WARN service/web belongs to the set "/g" (/g/web.yaml), so /f/web.yaml is not applied; delete it there, or rename one of the two
            generation 2 by live
            > state
              service/other run "a" in /f, version 1
              service/web run "a" in /g, version 1
        "#]],
    );
}
