//! Rolls of what is probed: the next goes when the last is ready.

use expect_test::expect;

use crate::check;

#[test]
fn a_roll_waits_for_an_answer_of_each() {
    check(
        "want web replicas 3 probed rev B
         sees web-0 running #2 rev B since 8
         sees web-1 running
         sees web-2 running
         ready web-1 #1 pass asked 5
         ready web-2 #1 pass asked 5
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: it has not been probed yet [Starting]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn a_roll_goes_on_when_the_last_has_passed() {
    check(
        "want web replicas 3 probed rev B
         sees web-0 running #2 rev B since 8
         sees web-1 running
         sees web-2 running
         ready web-0 #2 pass asked 9
         ready web-1 #1 pass asked 5
         ready web-2 #1 pass asked 5
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            stop shim 101 web-1: its manifest has changed [Stopping]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn a_roll_does_not_go_on_for_the_benefit_of_a_new_controller() {
    check(
        "want web replicas 3 probed rev B
         sees web-0 running #2 rev B since 8
         sees web-1 running
         sees web-2 running
         found web-0
         found web-1
         found web-2
         ready web-1 #1 pass asked 9
         now 10",
        expect![[r#"
            wait web-0: it was found running and counts as ready until its probe has told [Ready]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn a_roll_waits_while_a_replaced_one_flaps() {
    check(
        "want web replicas 2 probed rev B
         sees web-0 running #2 rev B since 8
         sees web-1 running
         ready web-0 #2 fail asked 9 passed-before
         ready web-1 #1 pass asked 5
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: tcp :80 [Running]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn what_says_no_is_replaced_without_waiting() {
    check(
        "want web replicas 3 probed rev B
         sees web-0 running
         sees web-1 running
         sees web-2 running
         ready web-0 #1 pass asked 5
         ready web-1 #1 fail asked 5
         ready web-2 #1 fail asked 5 passed-before
         now 10",
        expect![[r#"
            wait web-0: it is to be replaced; its turn comes when the others are ready [Ready]
            stop shim 101 web-1: its manifest has changed [Stopping]
            stop shim 102 web-2: its manifest has changed [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_keeps_the_benefit_of_ready_goes_in_turn() {
    check(
        "want web replicas 2 probed rev B
         sees web-0 running
         sees web-1 running
         found web-0
         found web-1
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn what_nobody_has_asked_yet_goes_in_turn_and_before_what_is_ready() {
    check(
        "want web replicas 3 probed rev B
         sees web-0 running
         sees web-1 running
         sees web-2 running
         ready web-0 #1 pass asked 5
         now 10",
        expect![[r#"
            wait web-0: it is to be replaced; its turn comes when the others are ready [Ready]
            stop shim 101 web-1: its manifest has changed [Stopping]
            wait web-2: it runs and is not ready: it has not been probed yet [Starting]
            look again at 12
        "#]],
    );
}

#[test]
fn the_only_one_that_nobody_has_asked_is_replaced() {
    check(
        "want web probed rev B
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_crash_of_the_new_revision_halts_a_roll_of_what_is_probed() {
    check(
        "want web replicas 3 probed rev B
         record web-0 #2 rev B born 9 unhealthy 'tcp :81: timed out' at 9.5
         sees web-1 running
         sees web-2 running
         ready web-1 #1 pass asked 5
         now 9.6",
        expect![[r#"
            wait web-0: it crashed (not healthy: tcp :81: timed out), at 10.055 [Backoff]
            wait web-1: it is to be replaced, but its successor crashed, so it is kept until the next edit [Halted]
            wait web-2: it runs and is not ready: it has not been probed yet [Starting]
            look again at 10.055
        "#]],
    );
}

#[test]
fn what_says_no_is_replaced_though_the_roll_is_halted() {
    check(
        "want web replicas 3 probed rev B
         record web-0 #2 rev B born 9 exit 1 at 9.5
         sees web-1 running
         sees web-2 running
         ready web-1 #1 pass asked 5
         ready web-2 #1 fail asked 5
         now 9.6",
        expect![[r#"
            wait web-0: it crashed (exit 1), at 10.055 [Backoff]
            wait web-1: it is to be replaced, but its successor crashed, so it is kept until the next edit [Halted]
            stop shim 102 web-2: its manifest has changed [Stopping]
            look again at 10.055
        "#]],
    );
}

#[test]
fn a_restart_waits_for_an_answer_of_each() {
    check(
        "want web replicas 2 probed
         restart web-0 1
         restart web-1 1
         sees web-0 running #2 since 9
         sees web-1 running
         ready web-1 #1 pass asked 5
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: it has not been probed yet [Starting]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn a_roll_of_items_does_not_wait_for_what_somebody_else_runs() {
    check(
        "want jobs each adopts rev B
         items jobs a b c d
         sees jobs-b running
         twin jobs-a one 55 rev A
         twin jobs-c one 56 rev B
         twin jobs-d many 57 58
         now 10",
        expect![[r#"
            wait jobs-a: process 55 was started by somebody else, and its manifest has changed since; it is never restarted [Drifted]
            stop shim 99 jobs-b: its manifest has changed [Stopping]
            wait jobs-c: process 56 was started by somebody else and counts as it [Ready]
            wait jobs-d: more than one process could be it (57, 58), so nothing is done [Ambiguous]
            look again at 12
        "#]],
    );
}
