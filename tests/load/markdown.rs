//! Markdown files as jobs.

use std::fs;

use expect_test::{Expect, expect};
use setpoint::load::load;

use crate::{bare, here};

/// What a file of this name and text is read as: the object, its annotations, warnings; or what is wrong with it.
fn check_named(name: &str, text: &str, expected: Expect) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    let said = match load(&[path], &here()) {
        Err(problems) => problems.to_string(),
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(|warning| warning.render(false, false) + "\n");
            let objects = loaded.manifests.iter();
            let objects = objects.map(|one| format!("{} {} {:?}\n", one.id, one.spec, one.annotations));
            objects.chain(warnings).collect()
        }
    };
    let folder = folder.path().canonicalize().expect("a path");
    expected.assert_eq(&bare(&said.replace(folder.to_str().expect("utf-8"), "/jobs")));
}

fn check(text: &str, expected: Expect) {
    check_named("tidy.md", text, expected);
}

#[test]
fn a_schedule_and_nothing_else() {
    check(
        "---\nschedule: \"0 8 * * 1-5\"\n---\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * 1-5","use":"capability/noop"} {}
    "#]],
    );
    check(
        "---\nevery: 5m\n---\nWhat it is *for*.\n\nMore.\n",
        expect![[r#"
        cronjob/tidy {"every":"5m","use":"capability/noop"} {"description": "What it is *for*.\n\nMore."}
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * 1-5\ntype: capability\ncapability: noop\nworkflow: \"\"\nparams: {}\nrecurring: true\n\
           enabled: true\nspawn_mode: \"\"\njitter_seconds: 0\n---\n",
        expect![[r#"
            cronjob/tidy {"schedule":"0 8 * * 1-5","use":"capability/noop"} {}
        "#]],
    );
}

#[test]
fn every_key() {
    check(
        "---\nschedule: 0 8 * * 1-5\ntype: workflow\nworkflow: /morning\nparams: { day: 3 }\nrecurring: false\n\
           enabled: false\nspawn_mode: headless_persistent\njitter_seconds: 90\ntimeZone: Europe/Berlin\n---\nGood morning.\n",
        expect![[r#"
            cronjob/tidy {"enabled":false,"jitter":"90s","once":true,"schedule":"0 8 * * 1-5","timeZone":"Europe/Berlin","use":"workflow/morning","with":{"day":3}} {"description": "Good morning.", "spawn_mode": "headless_persistent"}
        "#]],
    );
    check(
        "---\nschedule: 0 8 * * 1-5\ntype: prompt\n---\nRead the new issues.\n",
        expect![[r#"
        cronjob/tidy {"agent":"claude","prompt":"Read the new issues.","schedule":"0 8 * * 1-5"} {}
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * 1-5\nagent: reviewer\n---\nRead the new issues.\n",
        expect![[r#"
        cronjob/tidy {"agent":"reviewer","prompt":"Read the new issues.","schedule":"0 8 * * 1-5"} {}
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * 1-5\ncapability: fetch\nparams: { url: x }\n---\nFetches.\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * 1-5","use":"capability/fetch","with":{"url":"x"}} {"description": "Fetches."}
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * 1-5\nrun: ./a.sh\nannotations: { owner: ada }\n---\nRuns.\n",
        expect![[r#"
        cronjob/tidy {"dir":"/jobs","run":"./a.sh","schedule":"0 8 * * 1-5"} {"description": "Runs.", "owner": "ada"}
    "#]],
    );
    check(
        "---\nkind: Job\nrun: ./a.sh\nat: 2026-12-01T09:00\n---\nOnce.\n",
        expect![[r#"
        job/tidy {"at":"2026-12-01T09:00:00","dir":"/jobs","run":"./a.sh"} {"description": "Once."}
    "#]],
    );
    check(
        "---\nkind: Service\nrun: ./a.sh\n---\nServes.\n",
        expect![[r#"
        service/tidy {"dir":"/jobs","run":"./a.sh"} {"description": "Serves."}
    "#]],
    );
}

#[test]
fn what_is_wrong_is_told_at_its_line() {
    check(
        "---\ntype: capability\n---\n",
        expect![[r#"
        error: this job does not say when: `schedule` is missing
         --> /jobs/tidy.md:2:1
          |
        2 | type: capability
          | ^^^^
          |
          = help: add `schedule: "0 8 * * *"` or `every: 15m`; for what is done once add `kind: Job`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 25 * * *\ntype: job\nrecurring: maybe\nspawn_mode: loud\n---\n",
        expect![[r#"
        error: `type` is `job`, which is no type of a job
         --> /jobs/tidy.md:3:7
          |
        3 | type: job
          |       ^^^
          |
          = help: write one of: capability, workflow, prompt

        error: `recurring` is neither true nor false
         --> /jobs/tidy.md:4:1
          |
        4 | recurring: maybe
          | ^^^^^^^^^
          |
          = help: write true, or false for what runs a single time

        error: `spawn_mode` is `loud`
         --> /jobs/tidy.md:5:13
          |
        5 | spawn_mode: loud
          |             ^^^^
          |
          = help: write one of: headless_ephemeral, headless_persistent, interactive_persistent

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        "---\nenabled: true\nschedule: 0 25 * * *\n---\n",
        expect![[r#"
        error: `schedule` is wrong in its hour: `25` is not within 0 to 23
         --> /jobs/tidy.md:3:13
          |
        3 | schedule: 0 25 * * *
          |             ^^
          |
          = help: write 0 to 23; midnight is 0

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\ntype: workflow\n---\n",
        expect![[r#"
        error: `type` is workflow, but no `workflow` is named
         --> /jobs/tidy.md:3:1
          |
        3 | type: workflow
          | ^^^^
          |
          = help: add its name, as in `workflow: morning-routine`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\ntype: prompt\n---\n",
        expect![[r#"
        error: there is no text below the front matter, so the agent is told nothing
         --> /jobs/tidy.md:3:1
          |
        3 | type: prompt
          | ^^^^
          |
          = help: write below the second `---` what it is to do

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\ncapability: a b\nenabld: true\n---\n",
        expect![[r#"
        error: `use` is no Capability and no Workflow
         --> /jobs/tidy.md:3:13
          |
        3 | capability: a b
          |             ^^^
          |
          = help: write NAME, capability/NAME or workflow/NAME, as in `use: deploy`

        error: unknown field `enabld` in CronJob "tidy"
         --> /jobs/tidy.md:4:1
          |
        4 | enabld: true
          | ^^^^^^ did you mean `enabled`?
          |
          = help: more: setpoint explain cronjob

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\nrun: date\ntype: capability\n---\n",
        expect![[r#"
        error: `run` stands beside `type`, and either says what is done
         --> /jobs/tidy.md:4:1
          |
        4 | type: capability
          | ^^^^
          |
          = help: keep one of them

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\nrun: date\nparams: { a: 1 }\n---\n",
        expect![[r#"
        error: `params` stands beside fields that say what is done
         --> /jobs/tidy.md:4:1
          |
        4 | params: { a: 1 }
          | ^^^^^^
          |
          = help: keep one of them; parameters are `with`

        1 error in 1 of 1 file.
    "#]],
    );
    check_named(
        "my job.md",
        "---\nschedule: 0 8 * * *\n---\n",
        expect![[r#"
        error: the file is called `my job`, which cannot be a name
         --> /jobs/my job.md:2:1
          |
        2 | schedule: 0 8 * * *
          | ^^^^^^^^
          |
          = help: rename it; a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn a_bad_jitter_is_worth_a_warning_and_counts_as_none() {
    check(
        "---\nschedule: 0 8 * * *\njitter_seconds: -5\n---\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * *","use":"capability/noop"} {}
        warning: jitter_seconds must be a non-negative integer; it counts as 0
         --> /jobs/tidy.md:3:17
          |
        3 | jitter_seconds: -5
          |                 ^^
          |
          = help: write whole seconds, as in `jitter_seconds: 90`
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\njitter_seconds: soon\n---\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * *","use":"capability/noop"} {}
        warning: jitter_seconds must be a non-negative integer; it counts as 0
         --> /jobs/tidy.md:3:17
          |
        3 | jitter_seconds: soon
          |                 ^^^^
          |
          = help: write whole seconds, as in `jitter_seconds: 90`
    "#]],
    );
    check(
        "---\nschedule: 0 8 * * *\njitter_seconds: [1]\n---\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * *","use":"capability/noop"} {}
        warning: jitter_seconds must be a non-negative integer; it counts as 0
         --> /jobs/tidy.md:3:17
          |
        3 | jitter_seconds: [1]
          |                 ^^
          |
          = help: write whole seconds, as in `jitter_seconds: 90`
    "#]],
    );
}

#[test]
fn what_does_not_fit_the_type_is_worth_a_warning() {
    check(
        "---\nschedule: 0 8 * * *\nworkflow: morning\n---\n",
        expect![[r#"
        cronjob/tidy {"schedule":"0 8 * * *","use":"capability/noop"} {}
        warning: `workflow` is ignored: it goes with `type: workflow`
         --> /jobs/tidy.md:3:1
          |
        3 | workflow: morning
          | ^^^^^^^^
          |
          = help: remove it, or correct `type`
    "#]],
    );
}
