//! Edits: changed revisions, rolls, restarts, pauses.

use expect_test::expect;

use crate::check;

#[test]
fn a_changed_revision_restarts_the_only_replica() {
    check(
        "want web rev B
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn healthy_replicas_are_replaced_one_at_a_time() {
    check(
        "want web replicas 3 rev B
         sees web-0 running
         sees web-1 running
         sees web-2 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn the_next_goes_when_the_last_is_ready() {
    check(
        "want web replicas 3 rev B
         sees web-0 running #2 rev B since 9.5
         sees web-1 running
         sees web-2 running
         now 10",
        expect![[r#"
            wait web-0: it has just been started, at 10.500 [Starting]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 10.500
        "#]],
    );
}

#[test]
fn a_ready_one_lets_the_next_go() {
    check(
        "want web replicas 3 rev B
         sees web-0 running #2 rev B since 8
         sees web-1 running
         sees web-2 running
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
fn what_is_not_ready_is_replaced_without_waiting() {
    check(
        "want web replicas 3 rev B
         sees web-0 running since 9.5
         sees web-1 frozen
         sees web-2 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: its manifest has changed [Stopping]
            stop shim 101 web-1: its manifest has changed [Stopping]
            wait web-2: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn what_was_given_up_on_is_replaced_without_waiting() {
    check(
        "want web replicas 2 rev B
         record web-0 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         sees web-1 running
         now 10",
        expect![[r#"
            spawn #6 1:B web-0: it is wanted and does not run [Starting]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn nobody_goes_while_one_is_out_of_sight() {
    check(
        "want web replicas 2 rev B
         sees web-0 unreadable 'permission denied'
         sees web-1 running
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: permission denied [Unknown]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
        "#]],
    );
}

#[test]
fn a_crash_of_the_new_revision_halts_the_roll() {
    check(
        "want web replicas 2 rev B
         record web-0 #2 rev B born 9 exit 1 at 9.5
         sees web-1 running
         now 9.6",
        expect![[r#"
            wait web-0: it crashed (exit 1), at 10.055 [Backoff]
            wait web-1: it is to be replaced, but its successor crashed, so it is kept until the next edit [Halted]
            look again at 10.055
        "#]],
    );
}

#[test]
fn the_roll_stays_halted_when_the_crashed_one_is_up_again() {
    check(
        "want web replicas 2 rev B
         record web-0 #3 rev B born 9 deaths 1 crashes 1 n 1 open
         sees web-0 running #3 rev B since 9
         sees web-1 running
         now 100",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: it is to be replaced, but its successor crashed, so it is kept until the next edit [Halted]
        "#]],
    );
}

#[test]
fn the_next_edit_lets_a_halted_roll_go_on() {
    check(
        "want web replicas 2 rev B
         forgiven web-0 3
         record web-0 #3 rev B born 9 deaths 1 crashes 1 n 1 open
         sees web-0 running #3 rev B since 9
         sees web-1 running
         now 100",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            stop shim 101 web-1: its manifest has changed [Stopping]
            look again at 102
        "#]],
    );
}

#[test]
fn a_new_revision_that_ended_well_does_not_halt_the_roll() {
    check(
        "want web replicas 2 rev B restart on-failure
         record web-0 #2 rev B born 9 exit 0 at 9.5
         sees web-1 running
         now 100",
        expect![[r#"
            wait web-0: it ended (exit 0) and its restart rule asks for no more [Done]
            stop shim 101 web-1: its manifest has changed [Stopping]
            look again at 102
        "#]],
    );
}

#[test]
fn a_restart_goes_through_the_replicas_in_turn() {
    check(
        "want web replicas 2
         restart web-0 1
         restart web-1 1
         sees web-0 running
         sees web-1 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: a restart was asked for [Stopping]
            wait web-1: it is to be replaced; its turn comes when the others are ready [Ready]
            look again at 12
        "#]],
    );
}

#[test]
fn a_restart_happens_once() {
    check(
        "want web
         restart web-0 1
         sees web-0 running #2
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_restart_of_what_was_given_up_on_starts_it() {
    check(
        "want web
         restart web-0 5
         forgiven web-0 5
         record web-0 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         now 10",
        expect![[r#"
            spawn #6 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_restart_of_what_is_done_runs_it_again() {
    check(
        "want web restart never
         restart web-0 5
         forgiven web-0 5
         record web-0 #5 born 1 exit 0 at 1.5
         now 10",
        expect![[r#"
            spawn #6 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_paused_object_is_stopped() {
    check(
        "want web stop INT/5
         paused web by ann 'disk swap'
         sees web-0 running policy INT/5
         now 10",
        expect![[r#"
            stop shim 100 with signal 2, KILL after 5s, web-0: ann paused it: disk swap [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_paused_object_stays_down() {
    check(
        "want web
         paused web by ann
         record web-0 #1 born 1 signal 15 at 5 asked
         now 10",
        expect![[r#"
            wait web-0: ann paused it [Paused]
        "#]],
    );
}

#[test]
fn a_pause_ends_by_itself() {
    check(
        "want web
         paused web by ann until 60
         now 10",
        expect![[r#"
            wait web-0: ann paused it [Paused]
            look again at 60
        "#]],
    );
}

#[test]
fn a_pause_that_is_over_holds_nothing() {
    check(
        "want web
         paused web by ann until 60
         now 60",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_paused_start_under_way_is_stopped_once_it_is_up() {
    check(
        "want web replicas 2
         paused web by ann
         sees web-0 spawning
         sees web-1 starting
         now 10",
        expect![[r#"
            wait web-0: its start is under way [Starting]
            stop shim 101 web-1: ann paused it [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn fewer_replicas_end_the_highest() {
    check(
        "want web replicas 1
         sees web-0 running
         sees web-1 running
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            stop shim 101 web-1: fewer replicas are wanted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn zero_replicas_end_all() {
    check(
        "want web replicas 0
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 web-0: fewer replicas are wanted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_deleted_object_ends_by_its_own_stop_rule() {
    check(
        "deleted web stop INT/5
         sees web-0 running
         now 10",
        expect![[r#"
            stop shim 100 with signal 2, KILL after 5s, web-0: its object was deleted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_is_deleted_while_it_starts_is_stopped_once_it_is_up() {
    check(
        "deleted web
         sees web-0 spawning
         now 10",
        expect![[r#"
            wait web-0: its start is under way [Starting]
        "#]],
    );
}
