//! Gaps: what could not be read is left alone.

use expect_test::expect;

use crate::check;

#[test]
fn what_cannot_be_read_is_not_started() {
    check(
        "want web
         sees web-0 unreadable 'permission denied'
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: permission denied [Unknown]
        "#]],
    );
}

#[test]
fn what_a_partial_listing_leaves_out_is_not_started() {
    check(
        "want web
         listing partial 'the table ended early'
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: the table ended early [Unknown]
        "#]],
    );
}

#[test]
fn what_a_partial_listing_shows_is_decided_as_ever() {
    check(
        "want web replicas 2 rev B
         listing partial 'the table ended early'
         sees web-0 running since 9.5
         sees web-1 absent
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            spawn #1 1:B web-1: it is wanted and does not run [Starting]
            look again at 12
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_not_ended_when_it_is_surplus() {
    check(
        "want web replicas 1
         sees web-0 running
         sees web-1 unreadable 'permission denied'
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: too little is known to do anything: permission denied [Unknown]
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_not_ended_when_it_is_deleted() {
    check(
        "deleted web
         sees web-0 unreadable 'permission denied'
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: permission denied [Unknown]
        "#]],
    );
}

#[test]
fn an_instance_that_nothing_explains_is_left_alone() {
    check(
        "sees web-0 running
         now 10",
        expect![[r#"
            wait web-0: no object of this home explains it, so it is left alone [Stray]
        "#]],
    );
}

#[test]
fn a_lingering_instance_that_nothing_explains_is_left_alone() {
    check(
        "sees web-0 lingering tree 7
         now 10",
        expect![[r#"
            wait web-0: no object of this home explains it, so it is left alone [Stray]
        "#]],
    );
}

#[test]
fn nothing_is_pruned_while_manifests_are_unread() {
    check(
        "desired partial 'a.yaml does not parse'
         deleted web
         sees web-0 running
         sees db-0 running
         now 10",
        expect![[r#"
            wait db-0: too little is known to do anything: a.yaml does not parse [Unknown]
            wait web-0: too little is known to do anything: a.yaml does not parse [Unknown]
        "#]],
    );
}

#[test]
fn nothing_is_scaled_down_while_manifests_are_unread() {
    check(
        "desired partial 'a.yaml does not parse'
         want web replicas 1
         sees web-0 running
         sees web-1 running
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: too little is known to do anything: a.yaml does not parse [Unknown]
        "#]],
    );
}

#[test]
fn what_is_read_is_started_while_other_manifests_are_unread() {
    check(
        "desired partial 'a.yaml does not parse'
         want web
         now 10",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn an_object_of_another_version_is_left_alone() {
    check(
        "opaque web 'written by setpoint 9'
         sees web-0 running
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: written by setpoint 9 [Unknown]
        "#]],
    );
}

#[test]
fn a_vanished_surplus_is_no_news() {
    check(
        "want web replicas 1
         sees web-0 running
         sees web-1 absent
         sees db-0 absent
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
        "#]],
    );
}
