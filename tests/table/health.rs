//! Evidence: what counts as ready, and what counts against a process.

use expect_test::expect;

use crate::check;

#[test]
fn what_is_probed_is_ready_by_a_fresh_pass_only() {
    check(
        "want web replicas 2 probed
         sees web-0 running since 1
         sees web-1 running since 1
         ready web-0 #1 pass asked 2
         now 100",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: it runs and is not ready: it has not been probed yet [Starting]
        "#]],
    );
}

#[test]
fn what_says_no_is_not_ready_however_long_it_has_lived() {
    check(
        "want web replicas 2 probed
         sees web-0 running since 1
         sees web-1 running since 1
         ready web-0 #1 fail asked 90 'tcp :80: connection refused'
         ready web-1 #1 fail asked 90 passed-before
         now 100",
        expect![[r#"
            wait web-0: it runs and is not ready: tcp :80: connection refused [Starting]
            wait web-1: it runs and is not ready: tcp :80 [Running]
        "#]],
    );
}

#[test]
fn an_answer_of_another_attempt_says_nothing() {
    check(
        "want web probed
         sees web-0 running #3 since 5
         ready web-0 #2 pass asked 6
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: it has not been probed yet [Starting]
        "#]],
    );
}

#[test]
fn an_answer_that_was_asked_for_before_the_start_says_nothing() {
    check(
        "want web probed
         sees web-0 running since 5
         ready web-0 #1 pass asked 4.9
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: it has not been probed yet [Starting]
        "#]],
    );
}

#[test]
fn what_was_found_running_keeps_the_benefit_of_ready() {
    check(
        "want web probed
         sees web-0 running since 5
         found web-0
         now 5.1",
        expect![[r#"
            wait web-0: it was found running and counts as ready until its probe has told [Ready]
        "#]],
    );
}

#[test]
fn an_old_answer_takes_no_benefit_away() {
    check(
        "want web probed
         sees web-0 running #2 since 5
         found web-0
         ready web-0 #1 fail asked 4
         now 10",
        expect![[r#"
            wait web-0: it was found running and counts as ready until its probe has told [Ready]
        "#]],
    );
}

#[test]
fn the_first_fresh_answer_ends_the_benefit() {
    check(
        "want web probed
         sees web-0 running since 5
         found web-0
         ready web-0 #1 fail asked 9 passed-before
         now 10",
        expect![[r#"
            wait web-0: it runs and is not ready: tcp :80 [Running]
        "#]],
    );
}

#[test]
fn a_frozen_process_is_not_ready_whatever_it_said() {
    check(
        "want web probed
         sees web-0 frozen since 5
         ready web-0 #1 pass asked 9
         now 10",
        expect![[r#"
            wait web-0: it is frozen by a signal and counts as alive; kill -CONT thaws it [Frozen]
        "#]],
    );
}

#[test]
fn a_delay_is_waited_for() {
    check(
        "want web replicas 2 delayed 5
         sees web-0 running since 5
         sees web-1 running since 5.04
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: it has just been started, at 10.100 [Starting]
            look again at 10.100
        "#]],
    );
}

#[test]
fn a_word_in_the_output_makes_it_ready() {
    check(
        "want web replicas 2 told-by log
         sees web-0 running told-by log untold
         sees web-1 running told-by log
         now 100",
        expect![[r#"
            wait web-0: it runs and is not ready: its output has not shown "listening" yet [Starting]
            wait web-1: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_notification_makes_it_ready() {
    check(
        "want web replicas 2 told-by notify
         sees web-0 running told-by notify untold
         sees web-1 running told-by notify
         now 100",
        expect![[r#"
            wait web-0: it runs and is not ready: it has not sent READY=1 yet [Starting]
            wait web-1: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_live_failure_stops_it_as_failing() {
    check(
        "want web lively
         sees web-0 running since 5
         live web-0 #1 fail asked 9 'tcp :81: timed out after 1s'
         now 10",
        expect![[r#"
            stop failing shim 100 web-0: it is not healthy: tcp :81: timed out after 1s [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn a_live_failure_counts_before_it_is_ready() {
    check(
        "want web probed lively
         sees web-0 running since 5
         ready web-0 #1 fail asked 6
         live web-0 #1 fail asked 9
         now 10",
        expect![[r#"
            stop failing shim 100 web-0: it is not healthy: tcp :80 [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn an_old_live_failure_judges_nobody() {
    check(
        "want web replicas 2 lively
         sees web-0 running #3 since 5
         sees web-1 running since 5
         live web-0 #2 fail asked 9
         live web-1 #1 fail asked 4
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
            wait web-1: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_live_failure_judges_only_what_still_has_a_live_probe() {
    check(
        "want web
         sees web-0 running since 5
         live web-0 #1 fail asked 9
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn a_frozen_process_is_not_ended_for_its_silence() {
    check(
        "want web lively
         sees web-0 frozen since 5
         live web-0 #1 fail asked 9
         now 10",
        expect![[r#"
            wait web-0: it is frozen by a signal and counts as alive; kill -CONT thaws it [Frozen]
        "#]],
    );
}

#[test]
fn a_stop_for_a_live_failure_is_asked_for_once() {
    check(
        "want web lively
         sees web-0 running since 5 asked 9.5
         live web-0 #1 fail asked 9
         now 10",
        expect![[r#"
            wait web-0: it is being stopped [Stopping]
            look again at 11.500
        "#]],
    );
}

#[test]
fn an_unhealthy_end_is_a_crash() {
    check(
        "want web lively
         record web-0 #1 born 10 unhealthy 'tcp :81: timed out' at 10.5
         now 10.6",
        expect![[r#"
            wait web-0: it crashed (not healthy: tcp :81: timed out), at 11.055 [Backoff]
            look again at 11.055
        "#]],
    );
}

#[test]
fn an_unhealthy_end_is_answered_by_the_restart_rule() {
    check(
        "want web lively restart never
         want db lively restart on-failure
         record web-0 #1 born 10 unhealthy 'tcp :81: timed out' at 10.5
         record db-0 #1 born 10 unhealthy 'tcp :81: timed out' at 10.5
         now 20",
        expect![[r#"
            spawn #2 1:A n 1 deaths 1 crashes 1 db-0: it crashed (not healthy: tcp :81: timed out) and is started again [Starting]
            wait web-0: it ended (not healthy: tcp :81: timed out) and its restart rule asks for no more [Failed]
        "#]],
    );
}

#[test]
fn what_is_unhealthy_too_often_is_given_up_on() {
    check(
        "want web lively giveup 3
         record web-0 #3 born 10 n 2 deaths 2 crashes 2 unhealthy 'tcp :81: timed out' at 10.5
         now 100",
        expect![[r#"
            wait web-0: it crashed 3 times in a row, last with not healthy: tcp :81: timed out; edit it or restart it to try again [GaveUp]
        "#]],
    );
}

#[test]
fn what_is_not_executed_yet_is_not_probed_either() {
    check(
        "want web probed
         sees web-0 starting since 9
         now 10",
        expect![[r#"
            wait web-0: its start is under way [Starting]
        "#]],
    );
}
