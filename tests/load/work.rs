//! Kinds whose work ends: what people get wrong in them, and what they read then.

use expect_test::{Expect, expect};

use crate::told;

fn check(text: &str, expect: Expect) {
    expect.assert_eq(&told(text));
}

/// A CronJob with this schedule.
fn schedule(text: &str, expect: Expect) {
    check(&format!("kind: CronJob\nname: a\nrun: date\nschedule: {text}\n"), expect);
}

#[test]
fn schedules_are_refused_at_the_column_of_the_slip() {
    schedule(
        "\"0 22-2 * * *\"",
        expect![[r#"
        error: `schedule` is wrong in its hour: `22-2` runs backwards
         --> <stdin>:4:14
          |
        4 | schedule: "0 22-2 * * *"
          |              ^^^^
          |
          = help: write `22-23,0-2`

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "\"5/15 * * * *\"",
        expect![[r#"
        error: `schedule` is wrong in its minute: `5/15` has a step after a single number
         --> <stdin>:4:12
          |
        4 | schedule: "5/15 * * * *"
          |            ^^^^
          |
          = help: write `5-59/15`

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "0 3 * * * *",
        expect![[r#"
        error: `schedule` is wrong: `0 3 * * * *` has 6 fields, not five
         --> <stdin>:4:11
          |
        4 | schedule: 0 3 * * * *
          |           ^
          |
          = help: seconds are not supported: write `3 * * * *` if the first field is seconds, or use `every: 30s`

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "0 3 30 2 *",
        expect![[r#"
        error: `schedule` is wrong in its day of month: `30` never comes: no such month has such a day, so it never fires
         --> <stdin>:4:15
          |
        4 | schedule: 0 3 30 2 *
          |               ^^
          |
          = help: check day of month and month: February has 29 days at most

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "[\"0 3 * * *\", \"61 3 * * *\"]",
        expect![[r#"
        error: `schedule[1]` is wrong in its minute: `61` is not within 0 to 59
         --> <stdin>:4:26
          |
        4 | schedule: ["0 3 * * *", "61 3 * * *"]
          |                          ^^
          |
          = help: write 0 to 59; the minute after 59 is 0 of the next hour

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "daily",
        expect![[r#"
        error: `schedule` lacks its `@`
         --> <stdin>:4:11
          |
        4 | schedule: daily
          |           ^^^^^
          |
          = help: write "@daily", with the quotes

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "@daily",
        expect![[r#"
        error: a value that begins with `@` must be in quotes
         --> <stdin>:4:11
          |
        4 | schedule: @daily
          |           ^^^^^^ `@` is reserved in YAML
          |
          = help: write "@daily"

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "*/5 * * * *",
        expect![[r#"
        error: a value that begins with `*` must be in quotes
         --> <stdin>:4:11
          |
        4 | schedule: */5 * * * *
          |           ^^^ without them, `*` makes it an alias, and no anchor is named `/5`
          |
          = help: write "*/5 * * * *"

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "\"@every 5m\"",
        expect![[r#"
        error: `schedule` is wrong: `@every` is no schedule
         --> <stdin>:4:12
          |
        4 | schedule: "@every 5m"
          |            ^^^^^^
          |
          = help: write `every: 15m` instead of `schedule`

        1 error in 1 of 1 file.
    "#]],
    );
    schedule(
        "15",
        expect![[r#"
            error: `schedule` is the number 15, but it takes five fields of cron in quotes, as in "0 3 * * *", or a list of such texts
             --> <stdin>:4:11
              |
            4 | schedule: 15
              |           ^^
              |
              = help: for example: schedule: "0 3 * * *"

            1 error in 1 of 1 file.
        "#]],
    );
    schedule(
        "[]",
        expect![[r#"
            error: `schedule` is an empty list, but it takes five fields of cron in quotes, as in "0 3 * * *", or a list of such texts
             --> <stdin>:4:1
              |
            4 | schedule: []
              | ^^^^^^^^
              |
              = help: for example: schedule: "0 3 * * *"

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn a_cronjob_says_when_and_what() {
    check(
        "kind: CronJob\nname: a\nevery: 5m\n",
        expect![[r#"
        error: CronJob "a" does not say what to do
         --> <stdin>:1:1
          |
        1 | kind: CronJob
          | ^^^^
          |
          = help: write one of run, use and prompt, as in `run: ./backup.sh`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nschedule: \"@daily\"\nrun: date\nuse: noop\n",
        expect![[r#"
        error: `every` stands beside `schedule`
         --> <stdin>:3:1
          |
        3 | every: 5m
          | ^^^^^
          |
          = help: keep one of them

        error: `use` stands beside `run`, but work is exactly one of run, use and prompt
         --> <stdin>:6:1
          |
        6 | use: noop
          | ^^^
          |
          = help: keep `run` or `use`

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 500ms\nrun: date\n",
        expect![[r#"
        error: `every` is shorter than 1s
         --> <stdin>:3:8
          |
        3 | every: 500ms
          |        ^^^^^
          |
          = help: write 1s or more; what runs all the time is a Service

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nuse: noop\nenv: { A: b }\nagent: x\n",
        expect![[r#"
        error: `env` says nothing where nothing is `run`
         --> <stdin>:5:1
          |
        5 | env: { A: b }
          | ^^^
          |
          = help: remove it; it belongs to the Capability that has the command

        error: `agent` goes with `prompt` only
         --> <stdin>:6:1
          |
        6 | agent: x
          | ^^^^^
          |
          = help: add what it is told, as in `prompt: Read the new issues.`

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nprompt: do it\n",
        expect![[r#"
        error: `prompt` does not say which agent is told
         --> <stdin>:4:1
          |
        4 | prompt: do it
          | ^^^^^^
          |
          = help: add the name of an Agent, as in `agent: reviewer`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nrun: date\nwith: { a: 1 }\n",
        expect![[r#"
        error: `with` goes with `use` only
         --> <stdin>:5:1
          |
        5 | with: { a: 1 }
          | ^^^^
          |
          = help: remove it, or say what to use, as in `use: deploy`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nuse: noop\nwith: { a: { from: params.x } }\n",
        expect![[r#"
        error: `with.a` refers to `params.x`, and only the steps of a Workflow can
         --> <stdin>:5:9
          |
        5 | with: { a: { from: params.x } }
          |         ^
          |
          = help: write the value itself

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn numbers_and_words_of_a_cronjob() {
    let head = "kind: CronJob\nname: a\nevery: 5m\nrun: date\n";
    check(
        &format!("{head}jitter_seconds: -1\n"),
        expect![[r#"
        error: `jitter_seconds` is the number -1, but it must be a non-negative integer: seconds
         --> <stdin>:5:17
          |
        5 | jitter_seconds: -1
          |                 ^^
          |
          = help: for example: jitter_seconds: 90

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        &format!("{head}jitter_seconds: 1.5\n"),
        expect![[r#"
        error: `jitter_seconds` is the number 1.5, but it must be a non-negative integer: seconds
         --> <stdin>:5:17
          |
        5 | jitter_seconds: 1.5
          |                 ^^^
          |
          = help: for example: jitter_seconds: 90

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        &format!("{head}jitter_seconds: 5\njitter: 5s\n"),
        expect![[r#"
        error: `jitter_seconds` says the same as `jitter`
         --> <stdin>:5:1
          |
        5 | jitter_seconds: 5
          | ^^^^^^^^^^^^^^
          |
          = help: keep one of them

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        &format!("{head}overlap: forbid\nmissed: never\natOnce: 0\n"),
        expect![[r#"
        error: `overlap` is the text "forbid"
         --> <stdin>:5:10
          |
        5 | overlap: forbid
          |          ^^^^^^ did you mean `skip`?
          |
          = help: write one of: skip, queue, replace, allow

        error: `missed` is the text "never"
         --> <stdin>:6:9
          |
        6 | missed: never
          |         ^^^^^ did you mean `skip`?
          |
          = help: write one of: once, skip, all

        error: `atOnce` is the number 0, but it counts runs: 1 to 1000
         --> <stdin>:7:9
          |
        7 | atOnce: 0
          |         ^
          |
          = help: more: setpoint explain cronjob.atOnce

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        &format!("{head}retry: {{ times: 101, wait: 2h }}\ntimeout: 0\n"),
        expect![[r#"
        error: `retry.times` is the number 101, but it counts attempts after the first: 0 to 100
         --> <stdin>:5:17
          |
        5 | retry: { times: 101, wait: 2h }
          |                 ^^^
          |
          = help: more: setpoint explain cronjob.retry

        error: `retry.wait` is out of range
         --> <stdin>:5:28
          |
        5 | retry: { times: 101, wait: 2h }
          |                            ^^
          |
          = help: write 10ms to 1h

        error: `timeout` is zero, so that no attempt could ever end well
         --> <stdin>:6:10
          |
        6 | timeout: 0
          |          ^
          |
          = help: remove it for no limit

        3 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn words_of_kubernetes() {
    check(
        "kind: CronJob\nname: a\nschedule: \"@daily\"\nrun: date\nconcurrencyPolicy: Forbid\nstartingDeadlineSeconds: 60\n\
         suspend: true\nsuccessfulJobsHistoryLimit: 3\nfailedJobsHistoryLimit: 1\njobTemplate: {}\nreplicas: 2\n",
        expect![[r#"
            error: unknown field `concurrencyPolicy` in CronJob "a"
             --> <stdin>:5:1
              |
            5 | concurrencyPolicy: Forbid
              | ^^^^^^^^^^^^^^^^^ write `overlap`
              |
              = help: more: setpoint explain cronjob

            error: unknown field `startingDeadlineSeconds` in CronJob "a"
             --> <stdin>:6:1
              |
            6 | startingDeadlineSeconds: 60
              | ^^^^^^^^^^^^^^^^^^^^^^^ write `missedWithin`
              |
              = help: more: setpoint explain cronjob

            error: unknown field `suspend` in CronJob "a"
             --> <stdin>:7:1
              |
            7 | suspend: true
              | ^^^^^^^
              |
              = help: to switch it off write `enabled: false`, or use `setpoint pause`

            error: unknown field `successfulJobsHistoryLimit` in CronJob "a"
             --> <stdin>:8:1
              |
            8 | successfulJobsHistoryLimit: 3
              | ^^^^^^^^^^^^^^^^^^^^^^^^^^ write `history`
              |
              = help: more: setpoint explain cronjob

            error: unknown field `failedJobsHistoryLimit` in CronJob "a"
             --> <stdin>:9:1
              |
            9 | failedJobsHistoryLimit: 1
              | ^^^^^^^^^^^^^^^^^^^^^^ write `history`
              |
              = help: more: setpoint explain cronjob

            error: unknown field `jobTemplate` in CronJob "a"
              --> <stdin>:10:1
               |
            10 | jobTemplate: {}
               | ^^^^^^^^^^^
               |
               = help: there is no template around the work: write `run` and so on directly

            error: unknown field `replicas` in CronJob "a"
              --> <stdin>:11:1
               |
            11 | replicas: 2
               | ^^^^^^^^
               |
               = help: its work ends; what is kept up is for the kind Service

            7 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nbackoffLimit: 3\nrestartPolicy: Never\nactiveDeadlineSeconds: 9\n\
         ttlSecondsAfterFinished: 60\nschedule: \"@daily\"\nrestart: never\n",
        expect![[r#"
            error: unknown field `backoffLimit` in Job "a"
             --> <stdin>:4:1
              |
            4 | backoffLimit: 3
              | ^^^^^^^^^^^^ write `retry`
              |
              = help: more: setpoint explain job

            error: unknown field `restartPolicy` in Job "a"
             --> <stdin>:5:1
              |
            5 | restartPolicy: Never
              | ^^^^^^^^^^^^^
              |
              = help: its work ends: an attempt that failed is repeated by `retry: { times: 3 }`

            error: unknown field `activeDeadlineSeconds` in Job "a"
             --> <stdin>:6:1
              |
            6 | activeDeadlineSeconds: 9
              | ^^^^^^^^^^^^^^^^^^^^^ write `timeout`
              |
              = help: more: setpoint explain job

            error: unknown field `ttlSecondsAfterFinished` in Job "a"
             --> <stdin>:7:1
              |
            7 | ttlSecondsAfterFinished: 60
              | ^^^^^^^^^^^^^^^^^^^^^^^ write `keep`
              |
              = help: more: setpoint explain job

            error: unknown field `schedule` in Job "a"
             --> <stdin>:8:1
              |
            8 | schedule: "@daily"
              | ^^^^^^^^
              |
              = help: a Job runs once; schedules are for the kind CronJob

            error: unknown field `restart` in Job "a"
             --> <stdin>:9:1
              |
            9 | restart: never
              | ^^^^^^^
              |
              = help: its work ends: an attempt that failed is repeated by `retry: { times: 3 }`

            6 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Service\nname: a\nrun: date\nschedule: \"@daily\"\nsuspend: true\nretry: 3\n",
        expect![[r#"
        error: unknown field `schedule` in Service "a"
         --> <stdin>:4:1
          |
        4 | schedule: "@daily"
          | ^^^^^^^^
          |
          = help: a Service runs all the time; schedules are for the kind CronJob

        error: unknown field `suspend` in Service "a"
         --> <stdin>:5:1
          |
        5 | suspend: true
          | ^^^^^^^
          |
          = help: to keep a service down use `setpoint pause`, or `replicas: 0`

        error: unknown field `retry` in Service "a"
         --> <stdin>:6:1
          |
        6 | retry: 3
          | ^^^^^ did you mean `ready`?
          |
          = help: more: setpoint explain service

        3 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn moments_of_a_job() {
    check(
        "kind: Job\nname: a\nrun: date\nat: tomorrow\n",
        expect![[r#"
        error: `at` is `tomorrow`, which is no date and time
         --> <stdin>:4:5
          |
        4 | at: tomorrow
          |     ^^^^^^^^
          |
          = help: write 2026-12-01T09:00 for the clock of a zone, or 2026-12-01T09:00:00Z with an offset

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nat: 2026-12-01\n",
        expect![[r#"
        error: `at` is `2026-12-01`, which is no date and time
         --> <stdin>:4:5
          |
        4 | at: 2026-12-01
          |     ^^^^^^^^^^
          |
          = help: write 2026-12-01T09:00 for the clock of a zone, or 2026-12-01T09:00:00Z with an offset

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nat: 2026-13-01T09:00\n",
        expect![[r#"
            error: `at` is no date and time
             --> <stdin>:4:5
              |
            4 | at: 2026-13-01T09:00
              |     ^^^^^^^^^^^^^^^^
              |
              = help: write 2026-12-01T09:00 for the clock of a zone, or 2026-12-01T09:00:00Z with an offset

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nat: 2026-12-01T09:00:00+01:00\n",
        expect![[r#"
        job/a {"at":"2026-12-01T08:00:00Z","dir":"/","run":"date"}
    "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nat: 2026-12-01T09:00Z\ntimeZone: Europe/Berlin\n",
        expect![[r#"
        error: `timeZone` says nothing without a local time in `at`
         --> <stdin>:5:1
          |
        5 | timeZone: Europe/Berlin
          | ^^^^^^^^
          |
          = help: remove it, or write `at` without an offset, as in `at: 2026-12-01T09:00`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nat: 2026-12-01 09:00\n",
        expect![[r#"
        job/a {"at":"2026-12-01T09:00:00","dir":"/","run":"date"}
    "#]],
    );
}

#[test]
fn what_a_capability_does_and_takes() {
    check(
        "kind: Capability\nname: a\n",
        expect![[r#"
        error: Capability "a" does not say what it does
         --> <stdin>:1:1
          |
        1 | kind: Capability
          | ^^^^
          |
          = help: write one of run, http and mcp, as in `run: ./deploy.sh`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Capability\nname: a\nrun: date\nhttp: { url: example.com }\n",
        expect![[r#"
        error: `http` stands beside `run`, but a Capability does exactly one thing
         --> <stdin>:4:1
          |
        4 | http: { url: example.com }
          | ^^^^
          |
          = help: keep `run` or `http`

        error: `http.url` is no address
         --> <stdin>:4:14
          |
        4 | http: { url: example.com }
          |              ^^^^^^^^^^^
          |
          = help: write it whole, as in https://hooks.example.com/deploy

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Capability\nname: a\nrun: date\nparams: { app: { type: strin, requird: true } }\n",
        expect![[r#"
        error: `params.app.type` is `strin`, which is no type
         --> <stdin>:4:24
          |
        4 | params: { app: { type: strin, requird: true } }
          |                        ^^^^^
          |
          = help: write one of: string, integer, number, boolean, list, object

        error: `params.app.requird` says nothing about a parameter
         --> <stdin>:4:31
          |
        4 | params: { app: { type: strin, requird: true } }
          |                               ^^^^^^^
          |
          = help: there are type, required, default, description, enum, examples, exclusiveMaximum, exclusiveMinimum, items, maxItems, maxLength, maximum, minItems, minLength, minimum, multipleOf, pattern, title, uniqueItems

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Capability\nname: a\nrun: date\nparams: { n: { type: int, default: many } }\n",
        expect![[r#"
        error: `params.n.default` is wrong: value is not of type "integer"
         --> <stdin>:4:36
          |
        4 | params: { n: { type: int, default: many } }
          |                                    ^^^^
          |
          = help: write a default that its own description allows

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Capability\nname: a\nrun: date\nparams: { n: { required: true, default: 1 }, \"a b\": str }\n",
        expect![[r#"
            error: `params.n.default` goes ill with `required: true`
             --> <stdin>:4:32
              |
            4 | params: { n: { required: true, default: 1 }, "a b": str }
              |                                ^^^^^^^
              |
              = help: remove one of the two: what has a default need not be given

            error: `params.a b` cannot be the name of a parameter
             --> <stdin>:4:46
              |
            4 | params: { n: { required: true, default: 1 }, "a b": str }
              |                                              ^^^^^
              |
              = help: a name has 1 to 64 letters, digits, `-` or `_`

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Capability\nname: a\nrun: date\nparams: { type: object, properties: { n: { type: nope } } }\n",
        expect![[r#"
            error: `params` is no JSON Schema: "nope" is not valid under any of the schemas listed in the '...
             --> <stdin>:4:1
              |
            4 | params: { type: object, properties: { n: { type: nope } } }
              | ^^^^^^
              |
              = help: write names and types, as in `params: { app: { type: string, required: true } }`

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Capability\nname: a\nhttp:\n  url: https://me:secret@example.com/\n  body: x\n  headers: { \"a b\": c, D: {} }\n",
        expect![[r#"
            error: `http.url` holds a user or a password
             --> <stdin>:4:8
              |
            4 |   url: https://me:secret@example.com/
              |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: give a password by a header, as in `headers: { Authorization: { fromFile: secrets/basic } }`

            error: `http.body` goes with a method that sends one
             --> <stdin>:5:3
              |
            5 |   body: x
              |   ^^^^
              |
              = help: write `method: POST`, or remove the body

            error: `http.headers.a b` is no name of a header
             --> <stdin>:6:14
              |
            6 |   headers: { "a b": c, D: {} }
              |              ^^^^^
              |
              = help: a name has letters, digits and `-`, as in Content-Type

            error: `http.headers.D` does not say where it comes from
             --> <stdin>:6:24
              |
            6 |   headers: { "a b": c, D: {} }
              |                        ^
              |
              = help: write one of from, fromEnv, fromFile and fromCommand: { fromFile: secrets/token }

            4 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Capability\nname: a\nmcp: { server: [], tool: \"\" }\nrisk: higher\n",
        expect![[r#"
            error: `mcp.server` is an empty list, but it takes a program and its arguments as a list, or an address
             --> <stdin>:3:8
              |
            3 | mcp: { server: [], tool: "" }
              |        ^^^^^^
              |
              = help: for example: server: ["npx","-y","@acme/issues"]

            error: `mcp.tool` is empty, but it takes text
             --> <stdin>:3:26
              |
            3 | mcp: { server: [], tool: "" }
              |                          ^^
              |
              = help: for example: tool: "create_issue"

            error: `risk` is the text "higher"
             --> <stdin>:4:7
              |
            4 | risk: higher
              |       ^^^^^^ did you mean `high`?
              |
              = help: write one of: low, moderate, high

            3 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn steps_of_a_workflow() {
    check(
        "kind: Workflow\nname: a\nsteps: []\n",
        expect![[r#"
        error: `steps` is an empty list, but it takes a list of steps, 1 to 100
         --> <stdin>:3:1
          |
        3 | steps: []
          | ^^^^^
          |
          = help: for example: steps: [{"id":"test","run":"cargo test"}]

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Workflow\nname: a\nsteps:\n- { id: a, run: date }\n- { id: a, run: date }\n- { id: b.c, run: date }\n",
        expect![[r#"
            error: `steps[1].id` is the id of another step, too
             --> <stdin>:5:9
              |
            5 | - { id: a, run: date }
              |         ^
              |
              = help: give each step its own

            error: `steps[2].id` cannot be an id
             --> <stdin>:6:9
              |
            6 | - { id: b.c, run: date }
              |         ^^^
              |
              = help: an id starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Workflow\nname: a\nsteps:\n- { id: a, run: date, needs: [c] }\n- { id: b, run: date, needs: [a] }\n\
         - { id: c, run: date, needs: [b] }\n- { id: d, run: date, needs: [x] }\n",
        expect![[r#"
            error: `steps[0].needs` wait for each other: a -> c -> b -> a
             --> <stdin>:4:23
              |
            4 | - { id: a, run: date, needs: [c] }
              |                       ^^^^^
              |
              = help: remove one of these needs: none could ever start

            error: `steps[3].needs[0]` is `x`, and no step is called so
             --> <stdin>:7:31
              |
            7 | - { id: d, run: date, needs: [x] }
              |                               ^
              |
              = help: the steps are a, b, c, d

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Workflow\nname: a\nparams: { app: string }\nsteps:\n- { id: a, run: date, when: 'params.app ==' }\n\
         - { id: b, use: noop, with: { a: { from: params.ap }, b: { from: steps.a.output }, c: { from: env.X } } }\n\
         - { id: c, use: noop, needs: [a], with: { a: { from: steps.a.stdout }, b: [{ from: steps.a.output.x }] } }\n\
         - { id: d, use: workflow/b }\n- { id: e }\n",
        expect![[r#"
            error: `steps[0].when` is no expression: mismatched input '<EOF>'
             --> <stdin>:5:29
              |
            5 | - { id: a, run: date, when: 'params.app ==' }
              |                             ^^^^^^^^^^^^^^^
              |
              = help: write an expression such as `params.app != 'none'`

            error: `steps[1].with.a` refers to `params.ap`, which is no parameter of the workflow
             --> <stdin>:6:31
              |
            6 | - { id: b, use: noop, with: { a: { from: params.ap }, b: { from: steps.a.output }, c: { from: env.X } } }
              |                               ^
              |
              = help: there are: app

            error: `steps[1].with.b` refers to `steps.a.output`, which might not be over by then
             --> <stdin>:6:55
              |
            6 | - { id: b, use: noop, with: { a: { from: params.ap }, b: { from: steps.a.output }, c: { from: env.X } } }
              |                                                       ^
              |
              = help: add it: needs: [a]

            error: `steps[1].with.c` refers to `env.X`, which is nothing here
             --> <stdin>:6:84
              |
            6 | - { id: b, use: noop, with: { a: { from: params.ap }, b: { from: steps.a.output }, c: { from: env.X } } }
              |                                                                                    ^
              |
              = help: write params.NAME or steps.ID.output

            error: `steps[2].with.a` refers to `steps.a.stdout`, which a step does not have
             --> <stdin>:7:43
              |
            7 | - { id: c, use: noop, needs: [a], with: { a: { from: steps.a.stdout }, b: [{ from: steps.a.output.x }] } }
              |                                           ^
              |
              = help: write steps.a.output, steps.a.output.NAME or steps.a.outcome

            error: `steps[3].use` is a Workflow, which cannot be a step of another
             --> <stdin>:8:17
              |
            8 | - { id: d, use: workflow/b }
              |                 ^^^^^^^^^^
              |
              = help: use a Capability, or write its steps here

            error: `steps[4]` does not say what to do
             --> <stdin>:9:5
              |
            9 | - { id: e }
              |     ^^
              |
              = help: write one of run, use and prompt, as in `run: ./backup.sh`

            7 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn names_in_a_condition() {
    check(
        "kind: Workflow\nname: w\nparams: { apps: list, n: int }\nsteps:\n\
         - { id: test, run: date }\n- { id: other, run: date }\n\
         - { id: a, run: date, needs: [test], when: params.app != 'none' }\n\
         - { id: b, run: date, needs: [test], when: \"1 < 2 && steps.tets.output == 'x'\" }\n\
         - { id: c, run: date, needs: [test], when: steps.other.outcome == 'ok' }\n\
         - { id: d, run: date, needs: [test], when: sise(params.apps) > 0 }\n\
         - { id: e, run: date, needs: [test], when: parms.n > 0 }\n\
         - { id: f, run: date, needs: [test], when: steps.test.exit == 0 }\n\
         - { id: g, run: date, when: has(params.nosuch) }\n\
         - { id: ok1, run: date, needs: [test], when: \"params.apps.all(a, a != steps.test.output) && params.n > 0\" }\n\
         - { id: ok2, run: date, needs: [test], when: \"has(params.n) && size(steps) > 0 && params['n'] > 1\" }\n",
        expect![[r#"
            error: `steps[2].when` names `params.app`, which is no parameter of the workflow
             --> <stdin>:7:44
              |
            7 | - { id: a, run: date, needs: [test], when: params.app != 'none' }
              |                                            ^^^^^^^^^^ did you mean `apps`?
              |
              = help: there are: apps, n

            error: `steps[3].when` names `steps.tets.output`, which is no step
             --> <stdin>:8:54
              |
            8 | - { id: b, run: date, needs: [test], when: "1 < 2 && steps.tets.output == 'x'" }
              |                                                      ^^^^^^^^^^^^^^^^^ did you mean `test`?
              |
              = help: write steps.ID.output, of a step this one needs

            error: `steps[4].when` names `steps.other.outcome`, which might not be over by then
             --> <stdin>:9:44
              |
            9 | - { id: c, run: date, needs: [test], when: steps.other.outcome == 'ok' }
              |                                            ^^^^^^^^^^^^^^^^^^^
              |
              = help: add it: needs: [other]

            error: `steps[5].when` calls `sise`, and there is no such function
              --> <stdin>:10:48
               |
            10 | - { id: d, run: date, needs: [test], when: sise(params.apps) > 0 }
               |                                                ^^^^^^^^^^^^^ did you mean `size`?
               |
               = help: an expression can compare, and use size, contains, startsWith, endsWith, matches, all, exists

            error: `steps[6].when` names `parms`, which is nothing here
              --> <stdin>:11:44
               |
            11 | - { id: e, run: date, needs: [test], when: parms.n > 0 }
               |                                            ^^^^^^^ did you mean `params`?
               |
               = help: an expression can name params.NAME, steps.ID.output and steps.ID.outcome

            error: `steps[7].when` names `steps.test.exit`, which a step does not have
              --> <stdin>:12:44
               |
            12 | - { id: f, run: date, needs: [test], when: steps.test.exit == 0 }
               |                                            ^^^^^^^^^^^^^^^
               |
               = help: write steps.test.output, steps.test.output.NAME or steps.test.outcome

            error: `steps[8].when` names `params.nosuch`, which is no parameter of the workflow
              --> <stdin>:13:33
               |
            13 | - { id: g, run: date, when: has(params.nosuch) }
               |                                 ^^^^^^^^^^^^^^
               |
               = help: there are: apps, n

            7 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn parameters_that_would_meet_in_one_variable() {
    check(
        "kind: Capability\nname: a\nrun: date\nparams: { a-b: string, a_b: string, A_B: string, ab: string }\n",
        expect![[r#"
            error: `params.a-b` and `A_B` would both come as SETPOINT_PARAM_A_B
             --> <stdin>:4:11
              |
            4 | params: { a-b: string, a_b: string, A_B: string, ab: string }
              |           ^^^
              |
              = help: give one of the two another name: letters, digits and `_` tell them apart, case and `-` do not

            error: `params.a_b` and `A_B` would both come as SETPOINT_PARAM_A_B
             --> <stdin>:4:24
              |
            4 | params: { a-b: string, a_b: string, A_B: string, ab: string }
              |                        ^^^
              |
              = help: give one of the two another name: letters, digits and `_` tell them apart, case and `-` do not

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Workflow\nname: w\nsteps: [{ id: a, run: date }]\n\
         params: { type: object, properties: { x-y: { type: string }, X-Y: { type: string } } }\n",
        expect![[r#"
            error: `params.x-y` and `X-Y` would both come as SETPOINT_PARAM_X_Y
             --> <stdin>:4:1
              |
            4 | params: { type: object, properties: { x-y: { type: string }, X-Y: { type: string } } }
              | ^^^^^^
              |
              = help: give one of the two another name: letters, digits and `_` tell them apart, case and `-` do not

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn a_call_refers_to_its_own_parameters_alone() {
    check(
        "kind: Capability\nname: a\nparams: { text: string, trace: string }\nhttp:\n\
         \x20 method: POST\n  url: https://example.com/\n\
         \x20 headers: { X-Trace: { from: params.trase }, X-Ok: { from: params.trace, prefix: t- }, X-Two: { from: params.text, fromEnv: A } }\n\
         \x20 body: { a: [{ from: params.text }, { from: steps.a.output }], from: me }\n",
        expect![[r#"
            error: `http.headers.X-Trace.from` refers to `params.trase`, which is no parameter of this
             --> <stdin>:7:31
              |
            7 |   headers: { X-Trace: { from: params.trase }, X-Ok: { from: params.trace, prefix: t- }, X-Two: { from: params.text, fromEnv: A } }
              |                               ^^^^^^^^^^^^ did you mean `trace`?
              |
              = help: write params.NAME; there are: text, trace

            error: `http.headers.X-Two` does not say where it comes from
             --> <stdin>:7:89
              |
            7 |   headers: { X-Trace: { from: params.trase }, X-Ok: { from: params.trace, prefix: t- }, X-Two: { from: params.text, fromEnv: A } }
              |                                                                                         ^^^^^
              |
              = help: write one of from, fromEnv, fromFile and fromCommand: { fromFile: secrets/token }

            error: `http.body` refers to `steps.a.output`, which is no parameter of this
             --> <stdin>:8:3
              |
            8 |   body: { a: [{ from: params.text }, { from: steps.a.output }], from: me }
              |   ^^^^
              |
              = help: write params.NAME; there are: text, trace

            3 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn a_step_has_an_id() {
    check(
        "kind: Workflow\nname: a\nsteps:\n- { run: date }\n",
        expect![[r#"
        error: `steps[0]` has no `id`
         --> <stdin>:4:5
          |
        4 | - { run: date }
          |     ^^^
          |
          = help: add it: `id: test`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: QuietHours\nname: a\ntimes: [{ days: [monn], from: 1:00, to: 2:00 }]\n",
        expect![[r#"
        error: `times[0].days[0]` is `monn`, which is no list of days of the week
         --> <stdin>:3:18
          |
        3 | times: [{ days: [monn], from: 1:00, to: 2:00 }]
          |                  ^^^^
          |
          = help: write days such as mon, mon-fri or sat,sun

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn windows_of_quiet_hours() {
    check(
        "kind: QuietHours\nname: a\ntimes: []\n",
        expect![[r#"
            error: `times` is an empty list, but it takes a list of windows, 1 to 50
             --> <stdin>:3:1
              |
            3 | times: []
              | ^^^^^
              |
              = help: for example: times: [{"from":"22:00","to":"07:00"}]

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: QuietHours\nname: a\ntimes: [{ from: \"22:00\", to: \"22:00\" }]\n",
        expect![[r#"
        error: `times[0].to` is the same as `from`, which is either nothing or a whole day
         --> <stdin>:3:30
          |
        3 | times: [{ from: "22:00", to: "22:00" }]
          |                              ^^^^^^^
          |
          = help: write 00:00 to 24:00 for a day

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: QuietHours\nname: a\ntimes: [{ from: \"25:00\", to: 7 }, { days: [monn], from: 1:00, to: 2:00 }]\n",
        expect![[r#"
            error: `times[0].from` is `25:00`, which is beyond the end of a day
             --> <stdin>:3:17
              |
            3 | times: [{ from: "25:00", to: 7 }, { days: [monn], from: 1:00, to: 2:00 }]
              |                 ^^^^^^^
              |
              = help: write 00:00 to 24:00

            error: `times[0].to` is `7`, which is no time of day
             --> <stdin>:3:30
              |
            3 | times: [{ from: "25:00", to: 7 }, { days: [monn], from: 1:00, to: 2:00 }]
              |                              ^
              |
              = help: write hours and minutes in quotes, as in "22:00"

            error: `times[1].days[0]` is `monn`, which is no list of days of the week
             --> <stdin>:3:44
              |
            3 | times: [{ from: "25:00", to: 7 }, { days: [monn], from: 1:00, to: 2:00 }]
              |                                            ^^^^
              |
              = help: write days such as mon, mon-fri or sat,sun

            3 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: QuietHours\nname: a\ntimes: [{ from: 00:00, to: 24:00 }]\n",
        expect![[r#"
        error: `times[0].to` leaves no time at all
         --> <stdin>:3:28
          |
        3 | times: [{ from: 00:00, to: 24:00 }]
          |                            ^^^^^
          |
          = help: shorten the window, or name fewer days

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: QuietHours\nname: a\ntimes: [{ days: fri-mon, from: 22:00, to: 7:00 }, { days: [Sunday, mon,], from: 1:00, to: 2:00 }]\n",
        expect![[r#"
            quiethours/a {"times":[{"days":"mon,fri-sun","from":"22:00","to":"07:00"},{"days":"mon,sun","from":"01:00","to":"02:00"}]}
        "#]],
    );
}

#[test]
fn gates_that_nothing_could_pass_or_keep_are_refused() {
    check(
        "kind: Settings\nname: a\ngates: { load: 0, memoryFree: 0, psi: { cpu: 120, memory: half, disk: 3 } }\n",
        expect![[r#"
            error: `gates.load` is the number 0, but it is a load: 0.1 to 100000
             --> <stdin>:3:16
              |
            3 | gates: { load: 0, memoryFree: 0, psi: { cpu: 120, memory: half, disk: 3 } }
              |                ^
              |
              = help: for example: load: 8

            error: `gates.psi.cpu` is the number 120, but it is a percentage: 0.1 to 100
             --> <stdin>:3:46
              |
            3 | gates: { load: 0, memoryFree: 0, psi: { cpu: 120, memory: half, disk: 3 } }
              |                                              ^^^
              |
              = help: for example: cpu: 40

            error: `gates.psi.memory` is the text "half", but it is a percentage: 0.1 to 100
             --> <stdin>:3:59
              |
            3 | gates: { load: 0, memoryFree: 0, psi: { cpu: 120, memory: half, disk: 3 } }
              |                                                           ^^^^
              |
              = help: for example: memory: 10

            error: unknown field `disk` in `gates.psi` of Settings "a"
             --> <stdin>:3:65
              |
            3 | gates: { load: 0, memoryFree: 0, psi: { cpu: 120, memory: half, disk: 3 } }
              |                                                                 ^^^^
              |
              = help: there are cpu, io, memory; more: setpoint explain settings.gates.psi

            4 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Settings\nname: a\ngates: { load: .nan, memoryFree: 1.5Gi, psi: 40, swap: 1 }\n",
        expect![[r#"
        error: `gates.load` is the text ".nan", but it is a load: 0.1 to 100000
         --> <stdin>:3:16
          |
        3 | gates: { load: .nan, memoryFree: 1.5Gi, psi: 40, swap: 1 }
          |                ^^^^
          |
          = help: for example: load: 8

        error: `gates.memoryFree` is `1.5Gi`, which has a fraction
         --> <stdin>:3:34
          |
        3 | gates: { load: .nan, memoryFree: 1.5Gi, psi: 40, swap: 1 }
          |                                  ^^^^^
          |
          = help: use a smaller unit: 1.5Gi is 1536Mi

        error: `gates.psi` is the number 40, but it takes a map of fields
         --> <stdin>:3:46
          |
        3 | gates: { load: .nan, memoryFree: 1.5Gi, psi: 40, swap: 1 }
          |                                              ^^
          |
          = help: more: setpoint explain settings.gates

        error: unknown field `swap` in `gates` of Settings "a"
         --> <stdin>:3:50
          |
        3 | gates: { load: .nan, memoryFree: 1.5Gi, psi: 40, swap: 1 }
          |                                                  ^^^^
          |
          = help: there are load, memoryFree, psi; more: setpoint explain settings.gates

        4 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Settings\nname: a\ngates: { load: 7.25, memoryFree: 100Ti, psi: { io: 12.5 } }\n",
        expect![[r#"
        settings/a {"gates":{"load":7.25,"memoryFree":"100Ti","psi":{"io":12.5}}}
    "#]],
    );
    check(
        "kind: Settings\nname: a\ngates: { memoryFree: 0 }\n",
        expect![[r#"
        error: `gates.memoryFree` is no limit
         --> <stdin>:3:22
          |
        3 | gates: { memoryFree: 0 }
          |                      ^
          |
          = help: leave it out, or write 512Mi

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Settings\nname: a\ngates: {}\n",
        expect![[r#"
        settings/a {}
    "#]],
    );
}

#[test]
fn limits_of_settings() {
    check(
        "kind: Settings\nname: a\nmaxRuns: 0\nretention: { events: 1, age: 1s }\nrelist: 30s\njitterseed: x\n",
        expect![[r#"
            error: `maxRuns` is the number 0, but it counts runs: 1 to 1000
             --> <stdin>:3:10
              |
            3 | maxRuns: 0
              |          ^
              |
              = help: for example: maxRuns: 16

            error: `retention.events` is the number 1, but it counts events: 100 to 10000000
             --> <stdin>:4:22
              |
            4 | retention: { events: 1, age: 1s }
              |                      ^
              |
              = help: more: setpoint explain settings.retention

            error: `retention.age` is shorter than 1h
             --> <stdin>:4:30
              |
            4 | retention: { events: 1, age: 1s }
              |                              ^^
              |
              = help: write at least 1h

            error: `relist` is not supported by this version yet
             --> <stdin>:5:1
              |
            5 | relist: 30s
              | ^^^^^^
              |
              = help: remove it for now

            error: unknown field `jitterseed` in Settings "a"
             --> <stdin>:6:1
              |
            6 | jitterseed: x
              | ^^^^^^^^^^ did you mean `jitterSeed`?
              |
              = help: more: setpoint explain settings

            5 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn what_sets_a_trigger_off() {
    check(
        "kind: Trigger\nname: a\nrun: date\n",
        expect![[r#"
        error: Trigger "a" does not say what sets it off: no `watch` and no `event`
         --> <stdin>:1:1
          |
        1 | kind: Trigger
          | ^^^^
          |
          = help: write `watch: ["src/**/*.rs"]`, or `event: service.gave-up`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Trigger\nname: a\nwatch: src\nevent: job.failed\nrun: date\n",
        expect![[r#"
        error: `event` stands beside `watch`
         --> <stdin>:4:1
          |
        4 | event: job.failed
          | ^^^^^
          |
          = help: write two Triggers, one for each

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Trigger\nname: a\non: service.gave-up\nrun: date\n",
        expect![[r#"
        error: unknown field `on` in Trigger "a"
         --> <stdin>:3:1
          |
        3 | on: service.gave-up
          | ^^ write `event`
          |
          = help: more: setpoint explain trigger

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Trigger\nname: a\nwatch: [\"src/a**\", \"~/b\"]\nchanges: [rename]\nsettle: 2h\nextensions: [\"*.rs\"]\nrun: date\n",
        expect![[r#"
            error: `watch[0]` is `/src/a**`, which is no pattern: recursive wildcards must form a single path component
             --> <stdin>:3:9
              |
            3 | watch: ["src/a**", "~/b"]
              |         ^^^^^^^^^
              |
              = help: `*` is any part of a name, `**` stands alone between two `/`

            error: `watch[1]` begins with `~`, which only a shell replaces
             --> <stdin>:3:20
              |
            3 | watch: ["src/a**", "~/b"]
              |                    ^^^^^
              |
              = help: write the whole path, as in /home/ada/web

            error: `changes[0]` is the text "rename"
             --> <stdin>:4:11
              |
            4 | changes: [rename]
              |           ^^^^^^
              |
              = help: write one of: create, modify, delete

            error: `settle` is longer than an hour
             --> <stdin>:5:9
              |
            5 | settle: 2h
              |         ^^
              |
              = help: write 1h at most; 0s tells at once

            error: `extensions[0]` is no ending of a name
             --> <stdin>:6:14
              |
            6 | extensions: ["*.rs"]
              |              ^^^^^^
              |
              = help: write endings without pattern, as in [ts, js]

            5 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Trigger\nname: a\nevent: job.failed\nsettle: 1s\nlimit: { times: 0, within: 40d }\nrun: date\n",
        expect![[r#"
            error: `settle` goes with `watch` only
             --> <stdin>:4:1
              |
            4 | settle: 1s
              | ^^^^^^
              |
              = help: remove it: nothing is watched, since `event` says what sets it off

            error: `limit.times` is the number 0, but it counts: 1 to 1000000
             --> <stdin>:5:17
              |
            5 | limit: { times: 0, within: 40d }
              |                 ^
              |
              = help: more: setpoint explain trigger.limit

            error: `limit.within` is out of range
             --> <stdin>:5:28
              |
            5 | limit: { times: 0, within: 40d }
              |                            ^^^
              |
              = help: write 1s to 31d

            3 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn what_a_trigger_does() {
    check(
        "kind: Trigger\nname: a\nevent: job.failed\n",
        expect![[r#"
        error: Trigger "a" does not say what to do
         --> <stdin>:1:1
          |
        1 | kind: Trigger
          | ^^^^
          |
          = help: write one of run, use, prompt and then, as in `run: cargo test`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Trigger\nname: a\nevent: job.failed\nrun: date\nwhen: \"event.object ==\"\nthen: [{ run: date }]\n",
        expect![[r#"
            error: `when` is no expression: mismatched input '<EOF>'
             --> <stdin>:5:7
              |
            5 | when: "event.object =="
              |       ^^^^^^^^^^^^^^^^^
              |
              = help: write an expression such as `event.object == 'service/web'`

            error: `then` stands beside the work itself
             --> <stdin>:6:1
              |
            6 | then: [{ run: date }]
              | ^^^^
              |
              = help: keep one of them; `then` takes any number of steps

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Trigger\nname: a\nevent: job.failed\nthen:\n- { notify: tg }\n- { id: b, use: noop, with: { x: { from: changes.first } } }\n\
         - { id: b, use: noop, with: { x: { from: steps.c.output } } }\n- { use: workflow/x }\n",
        expect![[r#"
            error: `then[0].notify` needs a Channel, and this version has none
             --> <stdin>:5:5
              |
            5 | - { notify: tg }
              |     ^^^^^^
              |
              = help: remove it, or use a Capability that tells somebody

            error: `then[1].with.x` refers to `changes.first`, which it is not set off by
             --> <stdin>:6:31
              |
            6 | - { id: b, use: noop, with: { x: { from: changes.first } } }
              |                               ^
              |
              = help: write event.object, event.type or event.text

            error: `then[2].id` is the name of another step, too
             --> <stdin>:7:9
              |
            7 | - { id: b, use: noop, with: { x: { from: steps.c.output } } }
              |         ^
              |
              = help: give each step its own

            error: `then[2].with.x` refers to `steps.c.output`, which is no step before this one
             --> <stdin>:7:31
              |
            7 | - { id: b, use: noop, with: { x: { from: steps.c.output } } }
              |                               ^
              |
              = help: write steps.ID.output, of an earlier step

            error: `then[3].use` is a Workflow, which cannot be a step
             --> <stdin>:8:10
              |
            8 | - { use: workflow/x }
              |          ^^^^^^^^^^
              |
              = help: use a Capability, or use the Workflow alone, without `then`

            5 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Trigger\nname: a\nwatch: src\nrun: date\nwith: { x: { from: event.object }, y: { from: env.HOME } }\natOnce: 0\n\
         timeout: 0s\nretry: { times: 101 }\n",
        expect![[r#"
            error: `with.x` refers to `event.object`, which it is not set off by
             --> <stdin>:5:9
              |
            5 | with: { x: { from: event.object }, y: { from: env.HOME } }
              |         ^
              |
              = help: write changes.first, changes.create or changes.total

            error: `with.y` refers to `env.HOME`, which is nothing here
             --> <stdin>:5:36
              |
            5 | with: { x: { from: event.object }, y: { from: env.HOME } }
              |                                    ^
              |
              = help: write changes.first, changes.create or changes.total

            error: `atOnce` is the number 0, but it counts runs: 1 to 100
             --> <stdin>:6:9
              |
            6 | atOnce: 0
              |         ^
              |
              = help: more: setpoint explain trigger.atOnce

            error: `timeout` is zero, so that no attempt could ever end well
             --> <stdin>:7:10
              |
            7 | timeout: 0s
              |          ^^
              |
              = help: remove it for no limit

            error: `retry.times` is the number 101, but it counts attempts after the first: 0 to 100
             --> <stdin>:8:17
              |
            8 | retry: { times: 101 }
              |                 ^^^
              |
              = help: more: setpoint explain trigger.retry

            5 errors in 1 of 1 file.
        "#]],
    );
}
