//! Items: one instance for each, while it is there.

use expect_test::expect;

use crate::check;

#[test]
fn each_item_gets_its_own_with_the_item_as_data() {
    check(
        "want jobs each
         items jobs a b
         now 10",
        expect![[r#"
            spawn #1 1:A ["work", "/items/a.txt", "a", "a", "{other}"] jobs-a: it is wanted and does not run [Starting]
            spawn #1 1:A ["work", "/items/b.txt", "b", "b", "{other}"] jobs-b: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn no_items_want_nothing() {
    check(
        "want jobs each
         items jobs
         now 10",
        expect![[r#""#]],
    );
}

#[test]
fn items_that_nobody_has_listed_start_and_end_nothing() {
    check(
        "want jobs each
         sees jobs-a running
         now 10",
        expect![[r#"
            wait jobs-a: too little is known to do anything: its items have not been listed yet [Unknown]
        "#]],
    );
}

#[test]
fn items_that_cannot_be_listed_start_and_end_nothing() {
    check(
        "want jobs each
         items jobs unreadable '/items: permission denied'
         sees jobs-a running
         sees jobs-b unreadable 'no record'
         sees jobs-c absent
         now 10",
        expect![[r#"
            wait jobs-a: too little is known to do anything: /items: permission denied [Unknown]
            wait jobs-b: too little is known to do anything: no record [Unknown]
        "#]],
    );
}

#[test]
fn a_pause_holds_though_the_items_cannot_be_listed() {
    check(
        "want jobs each
         paused jobs by ann
         items jobs unreadable '/items: permission denied'
         sees jobs-a running
         now 10",
        expect![[r#"
            stop shim 99 jobs-a: ann paused it [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn an_item_that_has_just_vanished_is_waited_for() {
    check(
        "want jobs each
         items jobs a gone b 9
         sees jobs-a running
         sees jobs-b running
         now 10",
        expect![[r#"
            wait jobs-a: it runs as wanted [Ready]
            wait jobs-b: its item is gone, at 11 [Stopping]
            look again at 11
        "#]],
    );
}

#[test]
fn an_item_that_stays_away_is_stopped_after_two_seconds() {
    check(
        "want jobs each
         items jobs a gone b 8
         sees jobs-a running
         sees jobs-b running
         now 10",
        expect![[r#"
            wait jobs-a: it runs as wanted [Ready]
            stop shim 99 jobs-b: its item is gone, at 10 [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn an_item_that_comes_back_was_never_gone() {
    check(
        "want jobs each
         items jobs a b
         sees jobs-a running
         sees jobs-b running
         now 11",
        expect![[r#"
            wait jobs-a: it runs as wanted [Ready]
            wait jobs-b: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn an_item_nobody_has_missed_yet_is_missed_from_now_on() {
    check(
        "want jobs each
         items jobs a
         sees jobs-a running
         sees jobs-b running
         now 10",
        expect![[r#"
            wait jobs-a: it runs as wanted [Ready]
            wait jobs-b: its item is gone, at 12 [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn nothing_is_stopped_for_its_item_while_manifests_are_unread() {
    check(
        "want jobs each
         desired partial 'a.yaml does not parse'
         items jobs gone a 1
         sees jobs-a running
         now 10",
        expect![[r#"
            wait jobs-a: too little is known to do anything: a.yaml does not parse [Unknown]
        "#]],
    );
}

#[test]
fn an_item_whose_process_ended_and_that_is_gone_is_no_news() {
    check(
        "want jobs each
         items jobs gone a 1
         sees jobs-a absent
         record jobs-a #1 exit 1 at 5
         now 10",
        expect![[r#""#]],
    );
}

#[test]
fn replicas_that_became_items_are_stopped_like_items() {
    check(
        "want jobs each
         items jobs a gone 0 8
         sees jobs-0 running
         now 10",
        expect![[r#"
            stop shim 100 jobs-0: its item is gone, at 10 [Stopping]
            spawn #1 1:A ["work", "/items/a.txt", "a", "a", "{other}"] jobs-a: it is wanted and does not run [Starting]
            look again at 12
        "#]],
    );
}

#[test]
fn items_that_became_replicas_are_stopped_at_once() {
    check(
        "want jobs replicas 1
         items jobs a
         sees jobs-a running
         now 10",
        expect![[r#"
            spawn #1 1:A jobs-0: it is wanted and does not run [Starting]
            stop shim 99 jobs-a: fewer replicas are wanted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn an_item_has_a_backoff_of_its_own() {
    check(
        "want jobs each
         items jobs a b
         record jobs-a #1 born 10 exit 1 at 10.2
         record jobs-b #1 born 1 exit 0 at 9
         now 10.5",
        expect![[r#"
            wait jobs-a: it crashed (exit 1), at 11.042 [Backoff]
            spawn #2 1:A n 0 deaths 1 crashes 1 ["work", "/items/b.txt", "b", "b", "{other}"] jobs-b: it ended (exit 0) and is started again [Starting]
            look again at 11.042
        "#]],
    );
}

#[test]
fn changed_items_go_in_turn() {
    check(
        "want jobs each rev B
         items jobs a b
         sees jobs-a running
         sees jobs-b running
         now 10",
        expect![[r#"
            stop shim 99 jobs-a: its manifest has changed [Stopping]
            wait jobs-b: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}
