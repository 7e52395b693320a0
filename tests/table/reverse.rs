//! The order of stops: what needs a thing stops before it, when both are to stop.

use expect_test::expect;

use crate::check;

#[test]
fn what_is_paused_together_stops_in_reverse() {
    check(
        "want db
         want web needs db
         paused db by ann
         paused web by ann
         sees db-0 running
         sees web-0 running
         now 10",
        expect![[r#"
            wait db-0: it stops after service/web, which needs it [Stopping]
            stop shim 100 web-0: ann paused it [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_is_deleted_together_stops_in_reverse() {
    check(
        "deleted db
         deleted web needs db
         sees db-0 running
         sees web-0 stopping
         now 10",
        expect![[r#"
            wait db-0: it stops after service/web, which needs it [Stopping]
            wait web-0: it is being stopped [Stopping]
        "#]],
    );
}

#[test]
fn a_chain_stops_from_its_beginning() {
    check(
        "deleted a needs b
         deleted b needs c
         want c
         paused c by ann
         sees a-0 running
         sees b-0 running
         sees c-0 running
         now 10",
        expect![[r#"
            stop shim 100 a-0: its object was deleted [Stopping]
            wait b-0: it stops after service/a, which needs it [Stopping]
            wait c-0: it stops after service/b, which needs it [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_needs_it_and_is_gone_holds_nothing_up() {
    check(
        "deleted db
         deleted web needs db
         sees db-0 running
         sees web-0 absent
         now 10",
        expect![[r#"
            stop shim 100 db-0: its object was deleted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_needs_it_and_is_not_to_stop_holds_nothing_up() {
    check(
        "deleted db
         want web needs db
         sees db-0 running
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 db-0: its object was deleted [Stopping]
            wait web-0: it runs as wanted [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn a_pause_that_is_over_holds_nothing_up() {
    check(
        "want db
         want web needs db
         paused db by ann
         paused web by ann until 9
         sees db-0 running
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 db-0: ann paused it [Stopping]
            wait web-0: it runs as wanted [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn a_removal_that_may_not_happen_yet_holds_nothing_up() {
    check(
        "desired partial 'a.yaml does not parse'
         want db
         deleted web needs db
         paused db by ann
         sees db-0 running
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 db-0: ann paused it [Stopping]
            wait web-0: too little is known to do anything: a.yaml does not parse [Unknown]
            look again at 12
        "#]],
    );
}

#[test]
fn removed_objects_that_need_each_other_stop_in_no_order() {
    check(
        "deleted a needs b
         deleted b needs a
         sees a-0 running
         sees b-0 running
         now 10",
        expect![[r#"
            stop shim 100 a-0: its object was deleted [Stopping]
            stop shim 100 b-0: its object was deleted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_circle_does_not_hide_who_else_needs_it() {
    check(
        "deleted a needs b
         deleted b needs a
         deleted c needs b
         sees a-0 running
         sees b-0 running
         sees c-0 running
         now 10",
        expect![[r#"
            stop shim 100 a-0: its object was deleted [Stopping]
            wait b-0: it stops after service/c, which needs it [Stopping]
            stop shim 100 c-0: its object was deleted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn fewer_replicas_and_changes_know_no_order() {
    check(
        "want db replicas 1
         want web needs db
         paused web by ann
         sees db-0 running
         sees db-1 running
         sees web-0 running
         now 10",
        expect![[r#"
            wait db-0: it runs as wanted [Ready]
            stop shim 101 db-1: fewer replicas are wanted [Stopping]
            stop shim 100 web-0: ann paused it [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_stop_that_was_asked_for_goes_on_whoever_needs_it() {
    check(
        "deleted db
         deleted web needs db
         sees db-0 running asked 9.5
         sees web-0 running
         now 10",
        expect![[r#"
            wait db-0: it is being stopped [Stopping]
            stop shim 100 web-0: its object was deleted [Stopping]
            look again at 11.500
        "#]],
    );
}

#[test]
fn what_is_done_passes_the_order_on() {
    check(
        "want db
         want migrate needs db
         want web needs migrate:done
         paused db by ann
         paused migrate by ann
         paused web by ann
         sees db-0 running
         sees web-0 running
         now 10",
        expect![[r#"
            wait db-0: it stops after service/web, which needs it [Stopping]
            wait migrate-0: ann paused it [Paused]
            stop shim 100 web-0: ann paused it [Stopping]
            look again at 12
        "#]],
    );
}
