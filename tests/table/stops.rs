//! Stops: asked, begun, stuck, lingering.

use expect_test::expect;

use crate::check;

#[test]
fn a_stop_under_way_is_waited_for() {
    check(
        "want web
         sees web-0 stopping
         now 10",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
        "#]],
    );
}

#[test]
fn an_exit_that_is_written_is_waited_for() {
    check(
        "want web
         sees web-0 ending
         now 10",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
        "#]],
    );
}

#[test]
fn a_shim_is_given_two_seconds_to_begin() {
    check(
        "want web
         sees web-0 running asked 9
         now 10",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
            look again at 11
        "#]],
    );
}

#[test]
fn a_stop_that_was_asked_for_goes_on_though_nobody_wants_it_any_more() {
    check(
        "want web
         sees web-0 running asked 9.5
         now 10",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
            look again at 11.500
        "#]],
    );
}

#[test]
fn a_stop_that_has_begun_takes_its_grace() {
    check(
        "want web
         sees web-0 stopping asked 8 tree 7
         now 19",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
            look again at 20
        "#]],
    );
}

#[test]
fn a_shim_that_hangs_in_the_middle_of_a_stop_is_bypassed() {
    check(
        "want web
         sees web-0 stopping asked 8 tree 7
         now 20",
        expect![[r#"
            signal 15 to 7 of web-0: its shim does not get on with stopping it, so its processes are ended directly [Stopping]
            look again at 30
        "#]],
    );
}

#[test]
fn a_shim_that_does_not_begin_is_bypassed() {
    check(
        "deleted web
         sees web-0 running asked 8 tree 7 tree 8
         now 10",
        expect![[r#"
            signal 15 to 7 8 of web-0: its shim does not get on with stopping it, so its processes are ended directly [Stopping]
            look again at 20
        "#]],
    );
}

#[test]
fn a_bypassed_tree_has_its_grace() {
    check(
        "deleted web
         sees web-0 running asked 8 tree-asked 10 tree 7
         now 15",
        expect![[r#"
            wait web-0: its shim does not get on with stopping it, so its processes are ended directly [Stopping]
            look again at 20
        "#]],
    );
}

#[test]
fn after_the_grace_comes_kill_and_again_every_second() {
    check(
        "deleted web
         sees web-0 running asked 8 tree-asked 10 tree 7
         now 20",
        expect![[r#"
            signal 9 to 7 of web-0: its shim does not get on with stopping it, so its processes are ended directly [Stopping]
            look again at 21
        "#]],
    );
}

#[test]
fn a_stuck_shim_without_a_tree_is_killed_itself() {
    check(
        "deleted web
         sees web-0 running asked 8
         now 10",
        expect![[r#"
            signal 9 to 100 of web-0: its shim does not get on with stopping it, so its processes are ended directly [Stopping]
            look again at 11
        "#]],
    );
}

#[test]
fn what_a_killed_shim_left_is_ended_before_anything_is_started() {
    check(
        "want web
         sees web-0 lingering tree 7 tree 8
         record web-0 #1 open
         now 10",
        expect![[r#"
            signal 15 to 7 8 of web-0: its shim was killed and its processes live on [Lingering]
            look again at 20
        "#]],
    );
}

#[test]
fn a_lingering_tree_has_its_grace() {
    check(
        "want web stop INT/5
         sees web-0 lingering tree 7 tree-asked 9
         now 10",
        expect![[r#"
            wait web-0: its shim was killed and its processes live on [Lingering]
            look again at 14
        "#]],
    );
}

#[test]
fn a_lingering_tree_is_killed_after_its_grace() {
    check(
        "want web stop INT/5
         sees web-0 lingering tree 7 tree-asked 5
         now 10",
        expect![[r#"
            signal 9 to 7 of web-0: its shim was killed and its processes live on [Lingering]
            look again at 11
        "#]],
    );
}

#[test]
fn a_deleted_lingering_tree_is_ended_too() {
    check(
        "deleted web
         sees web-0 lingering tree 7
         now 10",
        expect![[r#"
            signal 15 to 7 of web-0: its shim was killed and its processes live on [Lingering]
            look again at 20
        "#]],
    );
}

#[test]
fn a_paused_lingering_tree_is_ended_too() {
    check(
        "want web
         paused web by ann
         sees web-0 lingering tree 7
         now 10",
        expect![[r#"
            signal 15 to 7 of web-0: its shim was killed and its processes live on [Lingering]
            look again at 20
        "#]],
    );
}
