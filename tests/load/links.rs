//! What objects name: other objects, parameters, hours, zones.

use std::collections::BTreeSet;
use std::path::PathBuf;

use expect_test::{Expect, expect};
use serde_json::json;
use setpoint::desired::{Proposal, Stored, form, references};
use setpoint::load::{Form, LoadContext, load_text};

/// Everything that is wrong with a file, as a person reads it.
fn check(text: &str, expected: Expect) {
    let context = LoadContext { folder: PathBuf::from("/srv") };
    let said = match load_text(text.as_bytes(), Form::Yaml, &context) {
        Err(problems) => problems.render(false),
        Ok(loaded) => {
            let proposals: Vec<Proposal> = loaded.manifests.iter().map(|one| Proposal::of_manifest(one, 0)).collect();
            let proposals: Vec<&Proposal> = proposals.iter().collect();
            let found = references::check(&Stored::empty(), &proposals, &BTreeSet::new());
            found.iter().map(|(_, problem)| problem.render(true, false) + "\n").collect()
        }
    };
    expected.assert_eq(&said);
}

const DEPLOY: &str = "---\nkind: Capability\nname: deploy\nparams: { app: { type: string, required: true }, tries: int }\n\
                      run: [./deploy.sh]\n---\nkind: Workflow\nname: morning-routine\nsteps: [{ id: a, run: date }]\n";

#[test]
fn what_is_used_exists() {
    check(
        &format!("kind: Job\nname: a\nuse: depoly\nwith: {{ app: shop }}\n{DEPLOY}"),
        expect![[r#"
        error: job/a uses `depoly`, which is neither in these files nor applied
         --> <stdin>:3:6
          |
        3 | use: depoly
          |      ^^^^^^ did you mean `deploy`?
          |
          = help: add its manifest, apply it first, or correct the name
    "#]],
    );
    check(
        &format!("kind: Job\nname: a\nuse: workflow/deploy\n{DEPLOY}"),
        expect![[r#"
            error: job/a uses `workflow/deploy`, which is neither in these files nor applied
             --> <stdin>:3:6
              |
            3 | use: workflow/deploy
              |      ^^^^^^^^^^^^^^^ did you mean `capability/deploy`?
              |
              = help: add its manifest, apply it first, or correct the name
        "#]],
    );
    check(
        &format!("kind: Job\nname: a\nuse: /wb-morning\n{DEPLOY}"),
        expect![[r#"
        error: job/a uses `wb-morning`, which is a slash command; the object behind it is workflow/morning-routine
         --> <stdin>:3:6
          |
        3 | use: /wb-morning
          |      ^^^^^^^^^^^ did you mean `morning-routine`?
          |
          = help: write morning-routine
    "#]],
    );
    check(
        &format!("kind: Job\nname: a\nuse: nothing-alike\n{DEPLOY}"),
        expect![[r#"
        error: job/a uses `nothing-alike`, which is neither in these files nor applied
         --> <stdin>:3:6
          |
        3 | use: nothing-alike
          |      ^^^^^^^^^^^^^
          |
          = help: add its manifest, apply it first, or correct the name
    "#]],
    );
    check(&format!("kind: Job\nname: a\nuse: /morning-routine\n{DEPLOY}"), expect![[""]]);
    check("kind: Job\nname: a\nuse: sidecar_jobs\n", expect![[""]]);
    check(
        "kind: Job\nname: a\nuse: service/web\n",
        expect![[r#"
        error: `use` is no Capability and no Workflow
         --> <stdin>:3:6
          |
        3 | use: service/web
          |      ^^^^^^^^^^^
          |
          = help: write NAME, capability/NAME or workflow/NAME, as in `use: deploy`

        1 error in 1 of 1 file."#]],
    );
}

#[test]
fn what_is_used_is_one_thing() {
    let both = "---\nkind: Capability\nname: ship\nrun: date\n---\nkind: Workflow\nname: ship\nsteps: [{ id: a, run: date }]\n";
    check(
        &format!("kind: Job\nname: a\nuse: ship\n{both}"),
        expect![[r#"
        error: job/a uses `ship`, which is more than one object
         --> <stdin>:3:6
          |
        3 | use: ship
          |      ^^^^
          |
          = help: write capability/ship or workflow/ship
    "#]],
    );
    check(&format!("kind: Job\nname: a\nuse: workflow/ship\n{both}"), expect![[""]]);
    let nested = "---\nkind: Workflow\nname: outer\nsteps: [{ id: a, use: morning-routine }]\n";
    check(
        &format!("{nested}{DEPLOY}"),
        expect![[r#"
        error: workflow/outer uses workflow/morning-routine, and a Workflow cannot be a step of another
         --> <stdin>:4:23
          |
        4 | steps: [{ id: a, use: morning-routine }]
          |                       ^^^^^^^^^^^^^^^
          |
          = help: use a Capability, or write its steps here
    "#]],
    );
}

#[test]
fn parameters_are_checked_where_they_are_given() {
    check(
        &format!("kind: CronJob\nname: a\nevery: 5m\nuse: deploy\nwith:\n  ap: shop\n{DEPLOY}"),
        expect![[r#"
        error: cronjob/a uses capability/deploy: `with.ap` is not a parameter
         --> <stdin>:6:7
          |
        6 |   ap: shop
          |       ^^^^ did you mean `app`?
          |
          = help: it takes app, tries
        error: cronjob/a uses capability/deploy: `with.app` is missing
         --> <stdin>:4:6
          |
        4 | use: deploy
          |      ^^^^^^
          |
          = help: give it: app (string)
    "#]],
    );
    check(
        &format!("kind: Job\nname: a\nuse: deploy\nwith: {{ app: shop, tries: many }}\n{DEPLOY}"),
        expect![[r#"
        error: job/a uses capability/deploy: `with.tries` is wrong: value is not of type "integer"
         --> <stdin>:4:27
          |
        4 | with: { app: shop, tries: many }
          |                           ^^^^
          |
          = help: see its schema: tries (integer)
    "#]],
    );
    check(
        &format!("kind: Job\nname: a\nuse: morning-routine\nwith: {{ app: shop }}\n{DEPLOY}"),
        expect![[r#"
        error: job/a uses workflow/morning-routine: `with.app` is not known: it takes no parameters
         --> <stdin>:4:14
          |
        4 | with: { app: shop }
          |              ^^^^
          |
          = help: remove it
    "#]],
    );
    check(
        "kind: Job\nname: a\nuse: noop\nwith: { app: shop }\n",
        expect![[r#"
            error: job/a uses noop, which is built in: `with.app` is not known: it takes no parameters
             --> <stdin>:4:14
              |
            4 | with: { app: shop }
              |              ^^^^
              |
              = help: remove it
        "#]],
    );
    let step = "---\nkind: Workflow\nname: w\nparams: { x: string }\nsteps:\n\
                - { id: a, use: deploy, with: { app: { from: params.x } } }\n- { id: b, use: deploy }\n";
    check(
        &format!("{step}{DEPLOY}"),
        expect![[r#"
        error: workflow/w uses capability/deploy: `with.app` is missing
         --> <stdin>:7:17
          |
        7 | - { id: b, use: deploy }
          |                 ^^^^^^
          |
          = help: give it: app (string)
    "#]],
    );
}

#[test]
fn quiet_hours_exist_and_leave_room() {
    let night = "---\nkind: QuietHours\nname: night\ntimes: [{ from: \"22:00\", to: \"07:00\" }]\n";
    check(
        &format!("kind: CronJob\nname: a\nschedule: 0 12 * * *\nrun: date\nquiet: [nigth]\n{night}"),
        expect![[r#"
        error: cronjob/a keeps quiet by quiethours/nigth, which is neither in these files nor applied
         --> <stdin>:5:9
          |
        5 | quiet: [nigth]
          |         ^^^^^ did you mean `night`?
          |
          = help: add the QuietHours of this name, apply them first, or correct it
    "#]],
    );
    check(
        &format!("kind: CronJob\nname: a\nschedule: 0 3 * * *\nrun: date\nquiet: [night]\n{night}"),
        expect![[r#"
        error: cronjob/a could never start: all its due times of the next 400 days fall into quiet hours
         --> <stdin>:5:9
          |
        5 | quiet: [night]
          |         ^^^^^
          |
          = help: change the schedule or the hours, or write `onQuiet: defer`
    "#]],
    );
    // With this seed it starts 108 s later: just after the hours began, and just after they ended.
    let settings = "---\nkind: Settings\nname: main\njitterSeed: machine-1\n";
    let late = |time: &str| {
        format!("kind: CronJob\nname: backup\nschedule: {time} * * *\nrun: date\nquiet: [night]\njitter: 300s\n")
    };
    check(
        &format!("{}{night}{settings}", late("59 21")),
        expect![[r#"
        error: cronjob/backup could never start: all its due times of the next 400 days, 108s later by its jitter, fall into quiet hours
         --> <stdin>:5:9
          |
        5 | quiet: [night]
          |         ^^^^^
          |
          = help: change the schedule or the hours, or write `onQuiet: defer`
    "#]],
    );
    check(&format!("{}{night}{settings}", late("59 6")), expect![[""]]);
    let deferred = "kind: CronJob\nname: a\nschedule: 0 3 * * *\nrun: date\nquiet: [night]\nonQuiet: defer\n";
    check(&format!("{deferred}{night}"), expect![[""]]);
}

#[test]
fn zones_exist() {
    check(
        "kind: CronJob\nname: a\nevery: 5m\nrun: date\ntimeZone: Europe/Berln\n",
        expect![[r#"
        error: `timeZone` is `Europe/Berln`, which is no time zone
         --> <stdin>:5:11
          |
        5 | timeZone: Europe/Berln
          |           ^^^^^^^^^^^^
          |
          = help: did you mean Europe/Berlin?
    "#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nrun: date\ntimeZone: CET\n",
        expect![[r#"
        error: `timeZone` is an abbreviation, which several places share
         --> <stdin>:5:11
          |
        5 | timeZone: CET
          |           ^^^
          |
          = help: write the IANA name of a place, such as Europe/Berlin, or UTC

        1 error in 1 of 1 file."#]],
    );
    check(
        "kind: CronJob\nname: a\nevery: 5m\nrun: date\ntimeZone: \"+02:00\"\n",
        expect![[r#"
        error: `timeZone` is a fixed offset, which is wrong for half of the year in most places
         --> <stdin>:5:11
          |
        5 | timeZone: "+02:00"
          |           ^^^^^^^^
          |
          = help: write the IANA name of a place, such as Europe/Berlin, or UTC

        1 error in 1 of 1 file."#]],
    );
    check("kind: CronJob\nname: a\nevery: 5m\nrun: date\ntimeZone: Europe/Berlin\n", expect![[""]]);
}

#[test]
fn settings_stand_alone() {
    check(
        "kind: Settings\nname: a\nmaxRuns: 3\n---\nkind: Settings\nname: b\n",
        expect![[r#"
            error: settings/b is a second one: there is settings/a, and only one may be
             --> <stdin>:5:1
              |
            5 | kind: Settings
              | ^^^^
              |
              = help: write it all into one of them, or remove the other: setpoint delete settings/a
        "#]],
    );
}

#[test]
fn needs_go_to_services_and_jobs_without_a_circle() {
    let migrate = "---\nkind: Job\nname: migrate\nrun: ./migrate.sh\nneeds: [db]\n";
    check(
        &format!("kind: Service\nname: db\nrun: date\nneeds: [migrate]\n{migrate}"),
        expect![[r#"
        error: service/db needs service/migrate, which is neither in these files nor applied
         --> <stdin>:4:9
          |
        4 | needs: [migrate]
          |         ^^^^^^^ did you mean `job/migrate`?
          |
          = help: add its manifest, apply it first, or correct the name
    "#]],
    );
    let until = "kind: Service\nname: db\nrun: date\nneeds: [{ name: job/migrate, until: done }]\n";
    check(
        &format!("{until}{migrate}"),
        expect![[r#"
        error: service/db needs itself: service/db -> job/migrate -> service/db
         --> <stdin>:4:11
          |
        4 | needs: [{ name: job/migrate, until: done }]
          |           ^^^^
          |
          = help: remove one of these needs: none of them could ever start
    "#]],
    );
    check(
        "kind: Job\nname: a\nrun: date\nneeds: [cronjob/b]\n",
        expect![[r#"
        error: `needs[0]` is of a kind that cannot be needed
         --> <stdin>:4:9
          |
        4 | needs: [cronjob/b]
          |         ^^^^^^^^^
          |
          = help: name a Service or a Job: needs: [db, job/migrate]

        1 error in 1 of 1 file."#]],
    );
}

#[test]
fn a_form_is_told_field_by_field() {
    let context = LoadContext { folder: PathBuf::from("/srv") };
    let check = |object: serde_json::Value, expected: Expect| {
        let said = form::check(&Stored::empty(), &object, &context).map(|one| one.spec.clone());
        let said = said.map_err(|refused| serde_json::to_value(refused).expect("json"));
        expected.assert_eq(&format!("{:#}", said.unwrap_or_else(|refused| refused)));
    };
    check(
        json!({ "kind": "CronJob", "name": "a", "schedule": "0 3 * * *", "use": "noop" }),
        expect![[r#"
        {
          "schedule": "0 3 * * *",
          "use": "noop"
        }"#]],
    );
    check(
        json!({ "kind": "CronJob", "name": "a b", "schedule": "0 25 * * *", "use": "noop", "jitter_seconds": -1, "tiemout": "1h" }),
        expect![[r#"
            {
              "error": "`jitter_seconds` is the number -1, but it must be a non-negative integer: seconds; for example: jitter_seconds: 90",
              "errors_by_field": {
                "jitter_seconds": "`jitter_seconds` is the number -1, but it must be a non-negative integer: seconds; for example: jitter_seconds: 90",
                "name": "`a b` cannot be a name; a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`",
                "schedule": "`schedule` is wrong in its hour: `25` is not within 0 to 23; write 0 to 23; midnight is 0",
                "tiemout": "unknown field `tiemout` in CronJob; did you mean `timeout`?; more: setpoint explain cronjob"
              },
              "success": false,
              "suggestions": [
                "timeout"
              ]
            }"#]],
    );
    check(
        json!({ "kind": "CronJob", "name": "a", "every": "5m", "use": "nop", "with": { "x": 1 } }),
        expect![[r#"
            {
              "error": "cronjob/a uses `nop`, which is neither in these files nor applied; did you mean `noop`?; add its manifest, apply it first, or correct the name",
              "errors_by_field": {
                "use": "cronjob/a uses `nop`, which is neither in these files nor applied; did you mean `noop`?; add its manifest, apply it first, or correct the name"
              },
              "success": false,
              "suggestions": [
                "noop"
              ]
            }"#]],
    );
    check(
        json!({ "kind": "CronJob", "name": "a", "every": "5m", "use": "noop", "with": { "x": 1 } }),
        expect![[r#"
        {
          "error": "cronjob/a uses noop, which is built in: `with.x` is not known: it takes no parameters; remove it",
          "errors_by_field": {
            "with.x": "cronjob/a uses noop, which is built in: `with.x` is not known: it takes no parameters; remove it"
          },
          "success": false,
          "suggestions": []
        }"#]],
    );
}
