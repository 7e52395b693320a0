//! Adoption: processes that somebody else started and that count as an instance.

use expect_test::expect;

use crate::check;

#[test]
fn where_nobody_is_found_ours_is_started() {
    check(
        "want web adopts
         twin web-0 none
         now 10",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn where_nobody_has_looked_nothing_is_started() {
    check(
        "want web adopts
         want db adopts
         twin db-0 unlooked
         now 10",
        expect![[r#"
            wait db-0: too little is known to do anything: nobody has looked for a process to adopt yet [Unknown]
            wait web-0: too little is known to do anything: nobody has looked for a process to adopt yet [Unknown]
        "#]],
    );
}

#[test]
fn where_it_cannot_be_told_nothing_is_started() {
    check(
        "want web adopts
         twin web-0 unreadable '/proc hides other users'
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: /proc hides other users [Unknown]
        "#]],
    );
}

#[test]
fn where_two_could_be_it_nothing_is_done() {
    check(
        "want web adopts
         twin web-0 many 55 56
         now 10",
        expect![[r#"
            wait web-0: more than one process could be it (55, 56), so nothing is done [Ambiguous]
        "#]],
    );
}

#[test]
fn one_that_is_new_is_written_down() {
    check(
        "want web adopts rev B
         twin web-0 one 55
         now 10",
        expect![[r#"
            adopt 55 rev B web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn one_that_is_known_is_left_alone() {
    check(
        "want web adopts
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn an_edit_makes_it_drift() {
    check(
        "want web adopts rev B
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: process 55 was started by somebody else, and its manifest has changed since; it is never restarted [Drifted]
        "#]],
    );
}

#[test]
fn a_revision_of_an_unknown_rule_is_no_drift() {
    check(
        "want web adopts
         twin web-0 one 55 rev 2:A
         now 10",
        expect![[r#"
            wait web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn what_does_not_adopt_does_not_mind() {
    check(
        "want web
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            spawn #1 1:A web-0: it is wanted and does not run [Starting]
        "#]],
    );
}

#[test]
fn our_own_beside_one_is_ours() {
    check(
        "want web adopts
         sees web-0 running
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: it runs as wanted [Ready]
        "#]],
    );
}

#[test]
fn ours_that_crashed_beside_one_is_not_started_again() {
    check(
        "want web adopts
         twin web-0 one 55
         record web-0 #1 born 10 exit 1 at 10.2
         now 20",
        expect![[r#"
            adopt 55 rev A web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn a_pause_touches_nobody_elses() {
    check(
        "want web adopts
         paused web by ann
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn a_pause_holds_where_nobody_is_found() {
    check(
        "want web adopts
         paused web by ann
         twin web-0 none
         now 10",
        expect![[r#"
            wait web-0: ann paused it [Paused]
        "#]],
    );
}

#[test]
fn a_restart_touches_nobody_elses() {
    check(
        "want web adopts
         restart web-0 1
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: process 55 was started by somebody else and counts as it [Ready]
        "#]],
    );
}

#[test]
fn a_delete_touches_nobody_elses() {
    check(
        "deleted web
         twin web-0 one 55 rev A
         now 10",
        expect![[r#""#]],
    );
}

#[test]
fn a_person_may_have_it_ended_with_its_object() {
    check(
        "deleted web stop INT/5 ends-adopted
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            signal 2 to 55 of web-0: its object was deleted [Stopping]
            look again at 15
        "#]],
    );
}

#[test]
fn it_has_its_grace() {
    check(
        "deleted web stop INT/5 ends-adopted
         sees web-0 absent tree-asked 8
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            wait web-0: its object was deleted [Stopping]
            look again at 13
        "#]],
    );
}

#[test]
fn after_its_grace_comes_kill() {
    check(
        "deleted web stop INT/5 ends-adopted
         sees web-0 absent tree-asked 5
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            signal 9 to 55 of web-0: its object was deleted [Stopping]
            look again at 11
        "#]],
    );
}

#[test]
fn of_two_none_is_ended() {
    check(
        "deleted web ends-adopted
         deleted db ends-adopted
         deleted log ends-adopted
         twin web-0 many 55 56
         twin db-0 unreadable '/proc hides other users'
         twin log-0 none
         now 10",
        expect![[r#"
            wait db-0: too little is known to do anything: /proc hides other users [Unknown]
            wait web-0: more than one process could be it (55, 56), so nothing is done [Ambiguous]
        "#]],
    );
}

#[test]
fn nobody_elses_is_ended_while_manifests_are_unread() {
    check(
        "deleted web ends-adopted
         desired partial 'a.yaml does not parse'
         twin web-0 one 55 rev A
         now 10",
        expect![[r#""#]],
    );
}

#[test]
fn ours_is_ended_before_nobody_elses() {
    check(
        "deleted web ends-adopted
         sees web-0 running
         twin web-0 one 55 rev A
         now 10",
        expect![[r#"
            stop shim 100 web-0: its object was deleted [Stopping]
            look again at 12
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_not_adopted_over() {
    check(
        "want web adopts
         sees web-0 unreadable 'permission denied'
         twin web-0 one 55
         now 10",
        expect![[r#"
            wait web-0: too little is known to do anything: permission denied [Unknown]
        "#]],
    );
}
