//! Needs: what has to be there before a start.

use expect_test::expect;

use crate::check;

#[test]
fn nothing_starts_before_what_it_needs_runs() {
    check(
        "want db
         want web needs db
         now 10",
        expect![[r#"
            spawn #1 1:A db-0: it is wanted and does not run [Starting]
            wait web-0: it needs service/db, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn a_chain_starts_from_its_end() {
    check(
        "want a needs b
         want b needs c
         want c
         now 10",
        expect![[r#"
            wait a-0: it needs service/b, which is Waiting [Waiting]
            wait b-0: it needs service/c, which is Starting [Waiting]
            spawn #1 1:A c-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn started_is_enough_for_what_is_not_probed() {
    check(
        "want db
         want web needs db
         sees db-0 running since 10
         now 10",
        expect![[r#"
            wait db-0: it has just been started, at 11 [Starting]
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
            look again at 11
        "#]],
    );
}

#[test]
fn what_is_probed_has_to_be_ready() {
    check(
        "want db probed
         want web needs db
         want log needs db:started
         sees db-0 running since 5
         now 10",
        expect![[r#"
            wait db-0: it runs and is not ready: it has not been probed yet [Starting]
            spawn #1 1:A log-0: it is wanted and does not run [Starting]
            wait web-0: it needs service/db, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn a_fresh_pass_meets_a_need() {
    check(
        "want db probed
         want web needs db
         sees db-0 running since 5
         ready db-0 #1 pass asked 6
         now 10",
        expect![[r#"
            wait db-0: it runs as wanted [Ready]
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn the_benefit_of_ready_meets_no_need() {
    check(
        "want db probed
         want web needs db
         sees db-0 running since 5
         found db-0
         now 10",
        expect![[r#"
            wait db-0: it was found running and counts as ready until its probe has told [Ready]
            wait web-0: it needs service/db, which is Running [Waiting]
        "#]],
    );
}

#[test]
fn ready_without_a_probe_is_a_second_of_life() {
    check(
        "want db
         want web needs db:ready
         sees db-0 running since 9.5
         now 10",
        expect![[r#"
            wait db-0: it has just been started, at 10.500 [Starting]
            wait web-0: it needs service/db ready, which is Starting [Waiting]
            look again at 10.500
        "#]],
    );
}

#[test]
fn every_instance_has_to_be_there() {
    check(
        "want db replicas 2
         want web needs db
         sees db-0 running
         record db-1 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         now 10",
        expect![[r#"
            wait db-0: it runs as wanted [Ready]
            wait db-1: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
            wait web-0: it needs service/db, which is GaveUp [Waiting]
        "#]],
    );
}

#[test]
fn the_first_need_that_is_not_met_is_named() {
    check(
        "want a
         want b
         want c
         want web needs c needs b needs a
         sees a-0 running
         paused b by ann
         paused c by ann
         now 10",
        expect![[r#"
            wait a-0: it runs as wanted [Ready]
            wait b-0: ann paused it [Paused]
            wait c-0: ann paused it [Paused]
            wait web-0: it needs service/b, which is Paused [Waiting]
        "#]],
    );
}

#[test]
fn a_need_that_was_given_up_on_is_the_reason() {
    check(
        "want db
         want web needs db
         record db-0 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         now 10",
        expect![[r#"
            wait db-0: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
            wait web-0: it needs service/db, which is GaveUp [Waiting]
        "#]],
    );
}

#[test]
fn a_need_that_backs_off_is_the_reason() {
    check(
        "want db
         want web needs db
         record db-0 #1 born 10 exit 1 at 10.5
         now 10.6",
        expect![[r#"
            wait db-0: it crashed (exit 1), at 11.010 [Backoff]
            wait web-0: it needs service/db, which is Backoff [Waiting]
            look again at 11.010
        "#]],
    );
}

#[test]
fn a_need_that_is_missing_is_the_reason() {
    check(
        "want web needs db
         now 10",
        expect![[r#"
            wait web-0: it needs service/db, which does not exist [Waiting]
        "#]],
    );
}

#[test]
fn a_need_that_could_not_be_read_is_not_called_missing() {
    check(
        "want web needs db
         desired partial 'b.yaml does not parse'
         now 10",
        expect![[r#"
            wait web-0: it needs service/db, which is Unknown [Waiting]
        "#]],
    );
}

#[test]
fn a_need_without_processes_is_the_reason() {
    check(
        "want db replicas 0
         want web needs db
         now 10",
        expect![[r#"
            wait web-0: it needs service/db, which wants no process [Waiting]
        "#]],
    );
}

#[test]
fn a_need_of_another_version_is_unknown() {
    check(
        "opaque db 'written by setpoint 9'
         want web needs db
         sees db-0 running
         now 10",
        expect![[r#"
            wait db-0: too little is known to do anything: written by setpoint 9 [Unknown]
            wait web-0: it needs service/db, which is Unknown [Waiting]
        "#]],
    );
}

#[test]
fn a_need_out_of_sight_is_not_met() {
    check(
        "want db
         want web needs db
         sees db-0 unreadable 'permission denied'
         now 10",
        expect![[r#"
            wait db-0: too little is known to do anything: permission denied [Unknown]
            wait web-0: it needs service/db, which is Unknown [Waiting]
        "#]],
    );
}

#[test]
fn a_need_that_is_paused_is_not_met_though_it_still_runs() {
    check(
        "want db
         want web needs db
         paused db by ann
         sees db-0 running
         now 10",
        expect![[r#"
            stop shim 100 db-0: ann paused it [Stopping]
            wait web-0: it needs service/db, which is Stopping [Waiting]
            look again at 12
        "#]],
    );
}

#[test]
fn a_need_that_was_asked_to_stop_is_not_met() {
    check(
        "want db
         want web needs db
         sees db-0 running asked 9.5
         now 10",
        expect![[r#"
            wait db-0: it is being stopped [Stopping]
            wait web-0: it needs service/db, which is Stopping [Waiting]
            look again at 11.500
        "#]],
    );
}

#[test]
fn a_need_whose_items_are_unknown_is_unknown() {
    check(
        "want db each
         want web needs db
         items db unreadable 'permission denied'
         now 10",
        expect![[r#"
            wait web-0: it needs service/db, which is Unknown [Waiting]
        "#]],
    );
}

#[test]
fn a_process_of_somebody_else_meets_a_need() {
    check(
        "want db adopts probed
         want web needs db
         twin db-0 one 55 rev A
         now 10",
        expect![[r#"
            wait db-0: process 55 was started by somebody else and counts as it [Ready]
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn two_that_could_be_it_meet_no_need() {
    check(
        "want db adopts
         want web needs db
         twin db-0 many 55 56
         now 10",
        expect![[r#"
            wait db-0: more than one process could be it (55, 56), so nothing is done [Ambiguous]
            wait web-0: it needs service/db, which is Ambiguous [Waiting]
        "#]],
    );
}

#[test]
fn what_has_ended_well_is_done() {
    check(
        "want migrate restart on-failure
         want web needs migrate:done
         record migrate-0 #1 exit 0 at 5
         now 10",
        expect![[r#"
            wait migrate-0: it ended (exit 0) and its restart rule asks for no more [Done]
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn what_runs_is_not_done() {
    check(
        "want migrate restart on-failure
         want web needs migrate:done
         sees migrate-0 running
         record migrate-0 #1 open
         now 10",
        expect![[r#"
            wait migrate-0: it runs as wanted [Ready]
            wait web-0: it needs service/migrate done, which is Ready [Waiting]
        "#]],
    );
}

#[test]
fn what_has_failed_is_not_done() {
    check(
        "want migrate restart never
         want web needs migrate:done
         record migrate-0 #1 exit 3 at 5
         now 10",
        expect![[r#"
            wait migrate-0: it ended (exit 3) and its restart rule asks for no more [Failed]
            wait web-0: it needs service/migrate done, which is Failed [Waiting]
        "#]],
    );
}

#[test]
fn what_was_done_as_another_revision_is_not_done() {
    check(
        "want migrate restart never rev B
         want web needs migrate:done
         record migrate-0 #1 exit 0 at 5
         now 10",
        expect![[r#"
            spawn #2 1:B migrate-0: it is wanted and does not run [Starting]
            wait web-0: it needs service/migrate done, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn what_was_done_in_another_boot_is_not_done() {
    check(
        "want migrate restart never
         want web needs migrate:done
         record migrate-0 #1 exit 0 at 5 boot old
         now 10",
        expect![[r#"
            spawn #2 1:A migrate-0: it is wanted and does not run [Starting]
            wait web-0: it needs service/migrate done, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn what_was_stopped_before_its_end_is_not_done_though_it_went_with_0() {
    check(
        "want migrate restart never
         want web needs migrate:done
         paused migrate by ann
         record migrate-0 #1 exit 0 at 5 asked
         now 10",
        expect![[r#"
            wait migrate-0: ann paused it [Paused]
            wait web-0: it needs service/migrate done, which is Paused [Waiting]
        "#]],
    );
}

#[test]
fn what_is_to_be_done_again_is_not_done() {
    check(
        "want migrate restart never
         want web needs migrate:done
         restart migrate-0 1
         record migrate-0 #1 exit 0 at 5
         now 10",
        expect![[r#"
            spawn #2 1:A n 0 deaths 1 crashes 1 migrate-0: it ended (exit 0) and is started again [Starting]
            wait web-0: it needs service/migrate done, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn what_is_always_started_again_is_never_done() {
    check(
        "want migrate
         want web needs migrate:done
         record migrate-0 #1 exit 0 at 5
         now 5.1",
        expect![[r#"
            spawn #2 1:A n 0 deaths 1 crashes 1 migrate-0: it ended (exit 0) and is started again [Starting]
            wait web-0: it needs service/migrate done, which is Starting [Waiting]
        "#]],
    );
}

#[test]
fn whoever_needed_it_runs_on_when_it_dies() {
    check(
        "want db
         want web needs db
         sees web-0 running
         record db-0 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         now 10",
        expect![[r#"
            wait db-0: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
            wait web-0: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_crash_waits_for_its_backoff_first_and_its_needs_then() {
    check(
        "want db
         want web replicas 2 needs db
         record db-0 #5 born 1 n 4 deaths 4 crashes 4 exit 1 at 1.5
         record web-0 #1 born 10 exit 1 at 10.1
         record web-1 #1 born 9 exit 1 at 9.1
         now 10.2",
        expect![[r#"
            wait db-0: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
            wait web-0: it crashed (exit 1), at 11.055 [Backoff]
            wait web-1: it needs service/db, which is GaveUp [Waiting]
            look again at 11.055
        "#]],
    );
}

#[test]
fn what_is_paused_says_so_and_not_what_it_needs() {
    check(
        "want web needs db
         paused web by ann
         now 10",
        expect![[r#"
            wait web-0: ann paused it [Paused]
        "#]],
    );
}
