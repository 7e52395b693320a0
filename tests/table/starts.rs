//! Starting: what is wanted and certainly not there.

use expect_test::expect;

use crate::check;

#[test]
fn what_is_wanted_and_missing_is_started() {
    check(
        "want web replicas 2
         now 10",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
            spawn #1 1:A web-1: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn nothing_wanted_and_nothing_there_is_an_empty_plan() {
    check("now 10", expect![[""]]);
}

#[test]
fn a_start_on_the_way_is_waited_for() {
    check(
        "want web
         sees web-0 spawning
         now 10",
        expect![[r#"
            wait web-0: its start is under way [Starting]
        "#]],
    );
}

#[test]
fn a_shim_without_its_payload_is_waited_for() {
    check(
        "want web
         sees web-0 starting since 9.5
         now 10",
        expect![[r#"
            wait web-0: it has just been started, at 10.500 [Starting]
        "#]],
    );
}

#[test]
fn a_new_process_is_ready_after_a_second_and_looked_at_in_tenths() {
    check(
        "want web replicas 2
         sees web-0 running since 9.23
         sees web-1 running since 9
         now 10",
        expect![[r#"
            wait web-0: it has just been started, at 10.300 [Starting]
            wait web-1: it runs as wanted [Ready]
            look again at 10.300
        "#]],
    );
}

#[test]
fn a_settled_machine_gets_no_action_and_no_wake_up() {
    check(
        "want web replicas 2
         sees web-0 running
         sees web-1 running
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_frozen_process_counts_as_alive() {
    check(
        "want web
         sees web-0 frozen
         now 10",
        expect![[r#"
            wait web-0: it is frozen by a signal and counts as alive; kill -CONT thaws it [Frozen]
        "#]],
    );
}

#[test]
fn a_start_that_left_no_record_is_not_repeated_at_once() {
    check(
        "want web
         refused web-0 9 'home not writable'
         now 10",
        expect![[r#"
            wait web-0: it could not be started: home not writable, at 11 [Waiting]
            look again at 11
        "#]],
    );
}

#[test]
fn a_start_that_left_no_record_is_repeated_after_two_seconds() {
    check(
        "want web
         refused web-0 8 'home not writable'
         now 10",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn attempts_go_on_counting_in_another_boot() {
    check(
        "want web
         record web-0 #7 open boot old n 3 deaths 4 crashes 4
         now 10",
        expect![[r#"
            spawn #8 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_damaged_record_reads_as_an_earlier_boot() {
    check(
        "want web
         record web-0 #7 open uid '?' rev 0:unknown boot old
         now 10",
        expect![[r#"
            spawn #8 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_process_of_an_unknown_revision_rule_counts_as_unchanged() {
    check(
        "want web rev B
         sees web-0 running rev 2:A
         now 10",
        expect![[r#"
            wait web-0: it runs; another version of setpoint started it, so its revision counts as unchanged [Ready]
        "#]],
    );
}

#[test]
fn a_policy_that_differs_is_told_to_the_shim_and_nothing_restarts() {
    check(
        "want web stop INT/5
         sees web-0 running
         now 10",
        expect![[r#"
            tell shim 100 of `signal 2, KILL after 5s` about web-0: how it is stopped or logged has changed [Running]
        "#]],
    );
}

#[test]
fn a_policy_file_that_cannot_be_read_is_written_again() {
    check(
        "want web
         sees web-0 running no-policy
         now 10",
        expect![[r#"
            tell shim 100 of `signal 15, KILL after 10s` about web-0: how it is stopped or logged has changed [Running]
        "#]],
    );
}
