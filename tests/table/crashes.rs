//! Ends and what they are answered with: restart rules, backoff, giving up.

use expect_test::expect;

use crate::check;

#[test]
fn a_process_that_died_young_waits_from_its_start_on() {
    check(
        "want web
         record web-0 #1 born 10 exit 1 at 10.2
         now 10.3",
        expect![[r#"
            wait web-0: it crashed (exit 1), at 11.055 [Backoff]
            look again at 11.055
        "#]],
    );
}

#[test]
fn a_process_that_lived_longer_than_its_delay_comes_back_at_once() {
    check(
        "want web
         record web-0 #4 born 10 n 1 deaths 1 crashes 1 exit 1 at 15
         now 15",
        expect![[r#"
            spawn #5 1:A n 0 deaths 2 crashes 2 web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn the_delay_doubles_with_each_young_death() {
    check(
        "want web giveup 0
         record web-0 #4 born 10 n 3 deaths 3 crashes 3 signal 9 at 10.5
         now 11",
        expect![[r#"
            wait web-0: it crashed (signal 9), 4 times in a row, at 18.252 [Backoff]
            look again at 18.252
        "#]],
    );
}

#[test]
fn the_delay_is_capped() {
    check(
        "want web giveup 0 to 5
         record web-0 #9 born 10 n 30 deaths 30 crashes 30 exit 1 at 10.5
         now 11",
        expect![[r#"
            wait web-0: it crashed (exit 1), 31 times in a row, at 15.471 [Backoff]
            look again at 15.471
        "#]],
    );
}

#[test]
fn when_the_delay_is_over_the_next_attempt_carries_the_streak() {
    check(
        "want web
         record web-0 #2 born 10 n 1 deaths 1 crashes 1 exit 1 at 10.5
         now 12.5",
        expect![[r#"
            spawn #3 1:A n 2 deaths 2 crashes 2 web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn a_long_life_forgets_the_streak_and_proves_the_revision() {
    check(
        "want web
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 70
         now 70",
        expect![[r#"
            spawn #6 1:A n 0 deaths 0 crashes 5 proven web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn a_long_life_never_waits_even_for_a_longer_delay() {
    check(
        "want web to 300
         record web-0 #9 born 10 n 8 deaths 4 crashes 9 proven exit 1 at 75
         now 75",
        expect![[r#"
            spawn #10 1:A n 0 deaths 0 crashes 10 proven web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn a_revision_that_never_stayed_up_is_given_up_on() {
    check(
        "want web
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 10.5
         now 100",
        expect![[r#"
            wait web-0: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
        "#]],
    );
}

#[test]
fn a_proven_revision_is_tried_for_ever() {
    check(
        "want web
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 proven exit 1 at 10.5
         now 100",
        expect![[r#"
            spawn #6 1:A n 5 deaths 5 crashes 5 proven web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn give_up_always_means_proven_ones_too() {
    check(
        "want web always
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 proven exit 1 at 10.5
         now 100",
        expect![[r#"
            wait web-0: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
        "#]],
    );
}

#[test]
fn give_up_never_goes_on() {
    check(
        "want web never-gives-up
         record web-0 #50 born 10 n 9 deaths 49 crashes 49 exit 1 at 10.5
         now 100",
        expect![[r#"
            spawn #51 1:A n 10 deaths 50 crashes 50 web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn give_up_after_zero_goes_on() {
    check(
        "want web giveup 0
         record web-0 #50 born 10 n 9 deaths 49 crashes 49 exit 1 at 10.5
         now 100",
        expect![[r#"
            spawn #51 1:A n 10 deaths 50 crashes 50 web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn exit_zero_is_answered_like_any_other_end_by_always() {
    check(
        "want web
         record web-0 #1 born 10 exit 0 at 10.2
         now 10.3",
        expect![[r#"
            wait web-0: it ended (exit 0), at 11.055 [Backoff]
            look again at 11.055
        "#]],
    );
}

#[test]
fn exit_zero_is_done_for_on_failure() {
    check(
        "want web restart on-failure
         record web-0 #1 born 10 exit 0 at 10.2
         now 100",
        expect![[r#"
            wait web-0: it ended (exit 0) and its restart rule asks for no more [Done]
        "#]],
    );
}

#[test]
fn exit_one_is_not_done_for_on_failure() {
    check(
        "want web restart on-failure
         record web-0 #1 born 10 exit 1 at 10.2
         now 100",
        expect![[r#"
            spawn #2 1:A n 1 deaths 1 crashes 1 web-0: it crashed (exit 1) and is started again [Starting]
        "#]],
    );
}

#[test]
fn any_end_is_the_end_for_never() {
    check(
        "want web restart never
         record web-0 #1 born 10 exit 3 at 10.2
         now 100",
        expect![[r#"
            wait web-0: it ended (exit 3) and its restart rule asks for no more [Failed]
        "#]],
    );
}

#[test]
fn never_starts_again_after_a_stop_that_was_asked_for() {
    check(
        "want web restart never
         record web-0 #1 born 10 exit 0 at 10.2 asked
         now 11",
        expect![[r#"
            spawn #2 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn never_starts_again_in_another_boot() {
    check(
        "want web restart never
         record web-0 #1 born 10 exit 0 at 10.2 boot old
         now 11",
        expect![[r#"
            spawn #2 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_stop_that_was_asked_for_is_no_death() {
    check(
        "want web
         record web-0 #3 born 10 n 2 deaths 2 crashes 2 signal 15 at 10.2 asked
         now 10.3",
        expect![[r#"
            spawn #4 1:A n 2 deaths 2 crashes 2 web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn what_could_not_be_executed_backs_off() {
    check(
        "want web
         record web-0 #1 born 10 'no such file' at 10
         now 10.1",
        expect![[r#"
            wait web-0: it crashed (not started: no such file), at 11.055 [Backoff]
            look again at 11.055
        "#]],
    );
}

#[test]
fn a_lost_attempt_is_recorded_first() {
    check(
        "want web
         record web-0 #3 born 10 open
         now 20",
        expect![[r#"
            record loss of #3 of web-0: it vanished without an exit [Backoff]
        "#]],
    );
}

#[test]
fn a_recorded_loss_is_a_crash() {
    check(
        "want web
         record web-0 #3 born 10 n 5 deaths 1 crashes 1 lost at 20
         now 20",
        expect![[r#"
            wait web-0: it crashed (exit unknown), 2 times in a row, at 44.736 [Backoff]
            look again at 44.736
        "#]],
    );
}

#[test]
fn a_pardon_reaches_attempts_up_to_its_number() {
    check(
        "want web replicas 2
         forgiven web-0 5
         forgiven web-1 4
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 10.5
         record web-1 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 10.5
         now 11",
        expect![[r#"
            spawn #6 1:A web-0: it is wanted and does not run [Starting]
            wait web-1: it crashed 5 times in a row, last with exit 1; edit it or restart it to try again [GaveUp]
        "#]],
    );
}

#[test]
fn a_pardon_keeps_what_has_proven_itself() {
    check(
        "want web
         forgiven web-0 5
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 proven exit 1 at 10.5
         now 11",
        expect![[r#"
            spawn #6 1:A proven web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_pardon_does_not_run_again_what_is_done() {
    check(
        "want web restart never
         forgiven web-0 5
         record web-0 #5 born 10 exit 0 at 10.5
         now 11",
        expect![[r#"
            wait web-0: it ended (exit 0) and its restart rule asks for no more [Done]
        "#]],
    );
}

#[test]
fn another_revision_starts_with_a_clean_slate() {
    check(
        "want web rev B
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 proven exit 1 at 10.5
         now 11",
        expect![[r#"
            spawn #6 1:B web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn a_recreated_object_starts_with_a_clean_slate() {
    check(
        "want web uid u2
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 10.5
         now 11",
        expect![[r#"
            spawn #6 of u2 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn another_boot_starts_with_a_clean_slate() {
    check(
        "want web
         record web-0 #5 born 10 n 4 deaths 4 crashes 4 exit 1 at 10.5 boot old
         now 11",
        expect![[r#"
            spawn #6 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}
