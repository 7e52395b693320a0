//! What people do wrong, and what they read then.

use expect_test::{Expect, expect};

use crate::told;

fn check(text: &str, expect: Expect) {
    expect.assert_eq(&told(text));
}

#[test]
fn a_schedule_without_quotes() {
    check(
        "kind: Service\nname: a\nrun: x\nschedule: */5 * * * *\n",
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
    check(
        "kind: Service\nname: a\nrun: x\nschedule: * * * * *\n",
        expect![[r#"
        error: a value that begins with `*` must be in quotes
         --> <stdin>:4:11
          |
        4 | schedule: * * * * *
          |           ^^^^^^^^^ without them, `*` makes it an alias
          |
          = help: write "* * * * *"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nschedule: @daily # every night\n",
        expect![[r#"
        error: a value that begins with `@` must be in quotes
         --> <stdin>:4:11
          |
        4 | schedule: @daily # every night
          |           ^^^^^^^^^^^^^^^^^^^^ `@` is reserved in YAML
          |
          = help: write "@daily"

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn other_values_without_quotes() {
    check(
        "kind: Service\nname: a\nrun: echo warning: hot\n",
        expect![[r#"
        error: a value that contains `: ` must be in quotes
         --> <stdin>:3:6
          |
        3 | run: echo warning: hot
          |      ^^^^^^^^^^^^^^^^^ without them, the colon makes it a map
          |
          = help: write "echo warning: hot"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: \"./a b\" --c\n",
        expect![[r#"
        error: the quotes end before the value does
         --> <stdin>:3:13
          |
        3 | run: "./a b" --c
          |             ^^^^ this stands behind them
          |
          = help: put the whole value in quotes: '"./a b" --c'

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: {{ .Values.run }}\n",
        expect![[r#"
        error: manifests have no templates
         --> <stdin>:3:7
          |
        3 | run: {{ .Values.run }}
          |       ^^^^^^^^^^^^^^ `{{` is not replaced
          |
          = help: fill it in before, or pass the value through `env`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: %x\n",
        expect![[r#"
        error: a value that begins with `%` must be in quotes
         --> <stdin>:3:6
          |
        3 | run: %x
          |      ^^ `%` is reserved in YAML
          |
          = help: write "%x"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: `date`\n",
        expect![[r#"
        error: a value that begins with a backquote must be in quotes
         --> <stdin>:3:6
          |
        3 | run: `date`
          |      ^^^^^^ it is reserved in YAML
          |
          = help: write "`date`"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: [*.log]\n",
        expect![[r#"
            error: a value that begins with `*` must be in quotes
             --> <stdin>:3:7
              |
            3 | run: [*.log]
              |       ^^^^^ without them, `*` makes it an alias, and no anchor is named `.log`
              |
              = help: write "*.log"

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Service\nname: a\nrun: !important\n",
        expect![[r#"
            error: a value that begins with `!` must be in quotes
             --> <stdin>:3:6
              |
            3 | run: !important
              |      ^^^^^^^^^^ without them, `!` makes it a tag
              |
              = help: write "!important", or remove the tag

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn tabs() {
    check(
        "kind: Service\nname: a\nrun: x\nenv:\n\tPORT: 1\n",
        expect![[r#"
        error: a tab indents this line
         --> <stdin>:5:1
          |
        5 |     PORT: 1
          | ^^^^ YAML takes spaces only
          |
          = help: use spaces: most editors can convert a file, or `sed -i 's/\t/  /g' FILE`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nenv:\n  A: 1\n \tB: 1\n",
        expect![[r#"
            error: a tab indents this line
             --> <stdin>:6:2
              |
            6 |      B: 1
              |  ^^^^ YAML takes spaces only
              |
              = help: use spaces: most editors can convert a file, or `sed -i 's/\t/  /g' FILE`

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn broken_structure() {
    check(
        "kind: Service\nname: a\n  run: x\n",
        expect![[r#"
        error: this line is indented under one that has a value already
         --> <stdin>:3:6
          |
        3 |   run: x
          |      ^
          |
          = help: let it begin in the same column as the line before

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: [a, b\n",
        expect![[r#"
        error: a list or map in brackets is not closed, or a `,` is missing
         --> <stdin>:3:6
          |
        3 | run: [a, b
          |      ^
          |
          = help: close what `[` or `{` opened before

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: \"a\n",
        expect![[r#"
            error: a quote is not closed
             --> <stdin>:3:8
              |
            3 | run: "a
              |        ^
              |
              = help: close it, or double a quote inside quotes: ''

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind:Service\nname:a\n",
        expect![[r#"
        error: this is no manifest: it has no fields
         --> <stdin>:1:1
          |
        1 | kind:Service
          | ^^^^^^^^^^^^
          |
          = help: write `kind: Service`, `name: web` and `run: ...`, each on a line, with a blank after the colon

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "- kind: Service\n",
        expect![[r#"
        error: this is no manifest: it has no fields
         --> <stdin>:1:1
          |
        1 | - kind: Service
          | ^^^^^^^^^^^^^^^
          |
          = help: write `kind: Service`, `name: web` and `run: ...`, each on a line, with a blank after the colon

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nrun: y\n",
        expect![[r#"
        error: `run` stands here twice
         --> <stdin>:4:1
          |
        4 | run: y
          | ^^^ the first is in line 3
          |
          = help: keep one of them; or put `---` between two objects

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nenv: { A: 1, B: 2, A: 3 }\n",
        expect![[r#"
        error: `A` stands here twice
         --> <stdin>:4:20
          |
        4 | env: { A: 1, B: 2, A: 3 }
          |                    ^ the first is in line 4
          |
          = help: keep one of them; or put `---` between two objects

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn one_broken_document_hides_no_other() {
    let text =
        "kind: Service\nname: a\nrun: *\n---\nkind: Service\nname: b\nreplicas: -1\n---\nkind: Servic\nname: c\n";
    check(
        text,
        expect![[r#"
            error: a value that begins with `*` must be in quotes
             --> <stdin>:3:6
              |
            3 | run: *
              |      ^ without them, `*` makes it an alias
              |
              = help: write "*"

            error: Service "b" has no `run`
             --> <stdin>:5:1
              |
            5 | kind: Service
              | ^^^^
              |
              = help: add it: `run: npm start`

            error: `replicas` is the number -1, but it counts processes: 0 to 1000
             --> <stdin>:7:11
              |
            7 | replicas: -1
              |           ^^
              |
              = help: for example: replicas: 1

            error: unknown kind `Servic`
             --> <stdin>:9:7
              |
            9 | kind: Servic
              |       ^^^^^^ did you mean `Service`?
              |
              = help: there are: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            4 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn kinds() {
    check(
        "name: a\nrun: x\n",
        expect![[r#"
        error: this document has no `kind`
         --> <stdin>:1:1
          |
        1 | name: a
          | ^^^^
          |
          = help: add a first line: `kind: Service`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "Kind: Service\nname: a\nrun: x\n",
        expect![[r#"
        error: this document has no `kind`, but `Kind`
         --> <stdin>:1:1
          |
        1 | Kind: Service
          | ^^^^ did you mean `kind`?
          |
          = help: write `kind: Service`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: service\nname: a\n",
        expect![[r#"
            error: unknown kind `service`
             --> <stdin>:1:7
              |
            1 | kind: service
              |       ^^^^^^^ did you mean `Service`?
              |
              = help: there are: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Servcie\nname: a\n",
        expect![[r#"
            error: unknown kind `Servcie`
             --> <stdin>:1:7
              |
            1 | kind: Servcie
              |       ^^^^^^^ did you mean `Service`?
              |
              = help: there are: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Deployment\nname: a\n",
        expect![[r#"
        error: unknown kind `Deployment`
         --> <stdin>:1:7
          |
        1 | kind: Deployment
          |       ^^^^^^^^^^
          |
          = help: a process that is kept up is a `kind: Service` here

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: CronJob\nname: a\n",
        expect![[r#"
            error: CronJob "a" does not say what to do
             --> <stdin>:1:1
              |
            1 | kind: CronJob
              | ^^^^
              |
              = help: write one of run, use and prompt, as in `run: ./backup.sh`

            error: CronJob "a" does not say when: `schedule` is missing
             --> <stdin>:1:1
              |
            1 | kind: CronJob
              | ^^^^
              |
              = help: write `schedule: "0 3 * * *"`, or `every: 15m`

            2 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Cronjob\nname: a\n",
        expect![[r#"
            error: unknown kind `Cronjob`
             --> <stdin>:1:7
              |
            1 | kind: Cronjob
              |       ^^^^^^^ did you mean `CronJob`?
              |
              = help: there are: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Banana\nname: a\n",
        expect![[r#"
            error: unknown kind `Banana`
             --> <stdin>:1:7
              |
            1 | kind: Banana
              |       ^^^^^^
              |
              = help: there are: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "kind: [Service]\nname: a\n",
        expect![[r#"
            error: `kind` is not the name of a kind
             --> <stdin>:1:1
              |
            1 | kind: [Service]
              | ^^^^
              |
              = help: write one of: Capability, CronJob, Job, Mailbox, QuietHours, Service, Settings, Trigger, Workflow

            1 error in 1 of 1 file.
        "#]],
    );
    check(
        "services:\n  web:\n    image: nginx\n",
        expect![[r#"
        error: this looks like a Compose file
         --> <stdin>:1:1
          |
        1 | services:
          | ^^^^^^^^
          |
          = help: write one document for each: `kind: Service`, `name: ...`, `run: ...`, with `---` between them

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "set: home\n",
        expect![[r#"
        error: this document has no `kind`
         --> <stdin>:1:1
          |
        1 | set: home
          | ^^^
          |
          = help: settings of a folder stand in a file called `setpoint.yaml` at its top

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn manifests_of_kubernetes() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: default\nspec:\n  selector: {app: web}\n  \
                ports: [{port: 80}]\n";
    check(
        text,
        expect![[r#"
        error: unknown apiVersion `v1`
         --> <stdin>:1:13
          |
        1 | apiVersion: v1
          |             ^^ this is for Kubernetes, where the kinds mean something else
          |
          = help: write `apiVersion: setpoint/v1`, or leave the line out

        error: Service "web" has no `run`
         --> <stdin>:2:1
          |
        2 | kind: Service
          | ^^^^
          |
          = help: add it: `run: npm start`

        error: unknown field `namespace` in `metadata`
         --> <stdin>:5:3
          |
        5 |   namespace: default
          |   ^^^^^^^^^ there are no namespaces: a name is unique within its kind
          |
          = help: there are name, labels, annotations

        error: unknown field `selector` in Service "web"
         --> <stdin>:7:3
          |
        7 |   selector: {app: web}
          |   ^^^^^^^^
          |
          = help: a Service is the process itself here, so there is nothing to select

        error: unknown field `ports` in Service "web"
         --> <stdin>:8:3
          |
        8 |   ports: [{port: 80}]
          |   ^^^^^
          |
          = help: a process opens its ports itself; pass the number in `env` or in `run`

        5 errors in 1 of 1 file.
    "#]],
    );
    let text = "kind: Service\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers: []\n  restartPolicy: Always\n";
    check(
        text,
        expect![[r#"
        error: Service "web" has no `run`
         --> <stdin>:1:1
          |
        1 | kind: Service
          | ^^^^
          |
          = help: add it: `run: npm start`

        error: unknown field `template` in Service "web"
         --> <stdin>:4:3
          |
        4 |   template:
          |   ^^^^^^^^
          |
          = help: there is no template around the process: write `run`, `env` and so on directly

        error: unknown field `restartPolicy` in Service "web"
         --> <stdin>:7:3
          |
        7 |   restartPolicy: Always
          |   ^^^^^^^^^^^^^ write `restart`
          |
          = help: more: setpoint explain service

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nmetadata: {name: web, lables: {}}\nrun: x\n",
        expect![[r#"
        error: this Service has `metadata` but no `spec`
         --> <stdin>:1:1
          |
        1 | kind: Service
          | ^^^^
          |
          = help: put the fields of the object under `spec:`

        error: unknown field `lables` in `metadata`
         --> <stdin>:2:23
          |
        2 | metadata: {name: web, lables: {}}
          |                       ^^^^^^ did you mean `labels`?
          |
          = help: there are name, labels, annotations

        error: `run` stands beside `spec` and `metadata`
         --> <stdin>:3:1
          |
        3 | run: x
          | ^^^ move it into `spec`
          |
          = help: write everything flat, or everything inside `metadata` and `spec`

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nmetadata: web\nspec:\n",
        expect![[r#"
        error: this Service has no `name`
         --> <stdin>:1:1
          |
        1 | kind: Service
          | ^^^^
          |
          = help: add one, as in `name: web`

        error: `metadata` has no fields
         --> <stdin>:2:1
          |
        2 | metadata: web
          | ^^^^^^^^
          |
          = help: write `metadata: { name: web }`

        error: `spec` has no fields
         --> <stdin>:3:1
          |
        3 | spec:
          | ^^^^
          |
          = help: more: setpoint explain service

        3 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn fields_of_other_tools() {
    let text = "kind: Service\nname: a\ncommand: [sleep]\nargs: [\"1\"]\nimage: nginx\nenvironment: {A: 1}\nworking_dir: /\n\
                cwd: /\nworkingDir: /\ndepends_on: [db]\nports: [80]\nautorestart: true\n";
    check(
        text,
        expect![[r#"
            error: unknown field `command` in Service "a"
             --> <stdin>:3:1
              |
            3 | command: [sleep]
              | ^^^^^^^ write `run`
              |
              = help: more: setpoint explain service

            error: unknown field `args` in Service "a"
             --> <stdin>:4:1
              |
            4 | args: ["1"]
              | ^^^^
              |
              = help: the program and its arguments stand in one list: `run: [./server, --port, "8080"]`

            error: unknown field `image` in Service "a"
             --> <stdin>:5:1
              |
            5 | image: nginx
              | ^^^^^
              |
              = help: setpoint runs processes, not containers: write the command in `run`

            error: unknown field `environment` in Service "a"
             --> <stdin>:6:1
              |
            6 | environment: {A: 1}
              | ^^^^^^^^^^^ write `env`
              |
              = help: more: setpoint explain service

            error: unknown field `working_dir` in Service "a"
             --> <stdin>:7:1
              |
            7 | working_dir: /
              | ^^^^^^^^^^^ write `dir`
              |
              = help: more: setpoint explain service

            error: unknown field `cwd` in Service "a"
             --> <stdin>:8:1
              |
            8 | cwd: /
              | ^^^ write `dir`
              |
              = help: more: setpoint explain service

            error: unknown field `workingDir` in Service "a"
             --> <stdin>:9:1
              |
            9 | workingDir: /
              | ^^^^^^^^^^ write `dir`
              |
              = help: more: setpoint explain service

            error: unknown field `depends_on` in Service "a"
              --> <stdin>:10:1
               |
            10 | depends_on: [db]
               | ^^^^^^^^^^ write `needs`
               |
               = help: more: setpoint explain service

            error: unknown field `ports` in Service "a"
              --> <stdin>:11:1
               |
            11 | ports: [80]
               | ^^^^^
               |
               = help: a process opens its ports itself; pass the number in `env` or in `run`

            error: unknown field `autorestart` in Service "a"
              --> <stdin>:12:1
               |
            12 | autorestart: true
               | ^^^^^^^^^^^ write `restart`
               |
               = help: more: setpoint explain service

            10 errors in 1 of 1 file.
        "#]],
    );
    let text = "kind: Service\nname: a\nExecStart: x\nRestartSec: 5\nstopsignal: TERM\nnumprocs: 2\nmin_uptime: 1\n\
                max_restarts: 3\nkill_timeout: 3\nschedule: x\nenabled: no\nvolumes: []\nrestart: unless-stopped\n";
    check(
        text,
        expect![[r#"
        error: unknown field `ExecStart` in Service "a"
         --> <stdin>:3:1
          |
        3 | ExecStart: x
          | ^^^^^^^^^ write `run`
          |
          = help: more: setpoint explain service

        error: unknown field `RestartSec` in Service "a"
         --> <stdin>:4:1
          |
        4 | RestartSec: 5
          | ^^^^^^^^^^ write `backoff.from`
          |
          = help: more: setpoint explain service

        error: unknown field `stopsignal` in Service "a"
         --> <stdin>:5:1
          |
        5 | stopsignal: TERM
          | ^^^^^^^^^^ write `stop.signal`
          |
          = help: more: setpoint explain service

        error: unknown field `numprocs` in Service "a"
         --> <stdin>:6:1
          |
        6 | numprocs: 2
          | ^^^^^^^^ write `replicas`
          |
          = help: more: setpoint explain service

        error: unknown field `min_uptime` in Service "a"
         --> <stdin>:7:1
          |
        7 | min_uptime: 1
          | ^^^^^^^^^^ write `backoff.resetAfter`
          |
          = help: more: setpoint explain service

        error: unknown field `max_restarts` in Service "a"
         --> <stdin>:8:1
          |
        8 | max_restarts: 3
          | ^^^^^^^^^^^^ write `backoff.giveUpAfter`
          |
          = help: more: setpoint explain service

        error: unknown field `kill_timeout` in Service "a"
         --> <stdin>:9:1
          |
        9 | kill_timeout: 3
          | ^^^^^^^^^^^^ write `stop.grace`
          |
          = help: more: setpoint explain service

        error: unknown field `schedule` in Service "a"
          --> <stdin>:10:1
           |
        10 | schedule: x
           | ^^^^^^^^
           |
           = help: a Service runs all the time; schedules are for the kind CronJob

        error: unknown field `enabled` in Service "a"
          --> <stdin>:11:1
           |
        11 | enabled: no
           | ^^^^^^^
           |
           = help: to keep a service down use `setpoint pause`, or `replicas: 0`

        error: unknown field `volumes` in Service "a"
          --> <stdin>:12:1
           |
        12 | volumes: []
           | ^^^^^^^
           |
           = help: setpoint runs processes, not containers: write the command in `run`

        error: `restart` is the text "unless-stopped"
          --> <stdin>:13:10
           |
        13 | restart: unless-stopped
           |          ^^^^^^^^^^^^^^ did you mean `always`?
           |
           = help: write one of: always, on-failure, never

        11 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn fields_with_slips_and_fields_to_come() {
    let text = "kind: Service\nname: a\nrun: x\nreplica: 2\nRestart: always\nstop: {grce: 1s, timeout: 5s, color: red}\nready: {tcp: 80}\n\
                needs: [db]\nuser: ada\nlimits: {}\nadopt: {}\nforEach: {}\nenvFile: x\nheartbeat: {}\ntty: true\nbanana: 1\n";
    check(
        text,
        expect![[r#"
            error: unknown field `replica` in Service "a"
             --> <stdin>:4:1
              |
            4 | replica: 2
              | ^^^^^^^ did you mean `replicas`?
              |
              = help: more: setpoint explain service

            error: unknown field `Restart` in Service "a"
             --> <stdin>:5:1
              |
            5 | Restart: always
              | ^^^^^^^ did you mean `restart`?
              |
              = help: more: setpoint explain service

            error: unknown field `grce` in `stop` of Service "a"
             --> <stdin>:6:8
              |
            6 | stop: {grce: 1s, timeout: 5s, color: red}
              |        ^^^^ did you mean `grace`?
              |
              = help: more: setpoint explain service.stop

            error: unknown field `timeout` in `stop` of Service "a"
             --> <stdin>:6:18
              |
            6 | stop: {grce: 1s, timeout: 5s, color: red}
              |                  ^^^^^^^ write `grace`
              |
              = help: more: setpoint explain service.stop

            error: unknown field `color` in `stop` of Service "a"
             --> <stdin>:6:31
              |
            6 | stop: {grce: 1s, timeout: 5s, color: red}
              |                               ^^^^^
              |
              = help: there are grace, signal; more: setpoint explain service.stop

            error: `adopt` has no `commandLine`
              --> <stdin>:11:1
               |
            11 | adopt: {}
               | ^^^^^
               |
               = help: add it: `commandLine: python3 -m http\.server 8000`

            error: `forEach` does not say where its items come from
              --> <stdin>:12:1
               |
            12 | forEach: {}
               | ^^^^^^^
               |
               = help: write exactly one of glob and command: { glob: "artifacts/*.jsonl" }

            error: `heartbeat` does not say what to do
              --> <stdin>:14:1
               |
            14 | heartbeat: {}
               | ^^^^^^^^^
               |
               = help: write exactly one of line, signal, http and command

            error: unknown field `banana` in Service "a"
              --> <stdin>:16:1
               |
            16 | banana: 1
               | ^^^^^^
               |
               = help: there are adopt, backoff, dir, env, envFile, forEach, group, heartbeat, inheritEnv, limits, live, log, needs, ready, replicas, restart, run, stop, tty, umask, user; more: setpoint explain service

            9 errors in 1 of 1 file.
        "#]],
    );
}

#[test]
fn run_is_missing_or_empty() {
    check(
        "kind: Service\nname: a\n",
        expect![[r#"
        error: Service "a" has no `run`
         --> <stdin>:1:1
          |
        1 | kind: Service
          | ^^^^
          |
          = help: add it: `run: npm start`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun:\n",
        expect![[r#"
        error: `run` is empty, but it takes a command line, or a list of a program and its arguments
         --> <stdin>:3:1
          |
        3 | run:
          | ^^^
          |
          = help: write a value, as in `run: "npm start"`, or remove the line

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: \"  \"\n",
        expect![[r#"
        error: `run` is empty, but it takes a command line, or a list of a program and its arguments
         --> <stdin>:3:6
          |
        3 | run: "  "
          |      ^^^^
          |
          = help: for example: run: "npm start"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: []\n",
        expect![[r#"
        error: `run` is an empty list, but it takes a command line, or a list of a program and its arguments
         --> <stdin>:3:1
          |
        3 | run: []
          | ^^^
          |
          = help: for example: run: "npm start"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: [\"\", x]\n",
        expect![[r#"
        error: `run[0]` names no program
         --> <stdin>:3:7
          |
        3 | run: ["", x]
          |       ^^
          |
          = help: put the program first: [./server, --port, "8080"]

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: [sleep, 1]\n",
        expect![[r#"
        error: `run[1]` is the number 1, but arguments are text
         --> <stdin>:3:14
          |
        3 | run: [sleep, 1]
          |              ^
          |
          = help: put it in quotes: "1"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: 7\n",
        expect![[r#"
        error: `run` is the number 7, but it takes a command line, or a list of a program and its arguments
         --> <stdin>:3:6
          |
        3 | run: 7
          |      ^
          |
          = help: for example: run: "npm start"

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: [a, \"b\\0c\"]\n",
        expect![[r#"
        error: `run[1]` contains a NUL character
         --> <stdin>:3:10
          |
        3 | run: [a, "b\0c"]
          |          ^^^^^^
          |
          = help: remove the `\0`; no program can be given one

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn names_and_labels() {
    check(
        "kind: Service\nrun: x\n",
        expect![[r#"
        error: this Service has no `name`
         --> <stdin>:1:1
          |
        1 | kind: Service
          | ^^^^
          |
          = help: add one, as in `name: web`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: my web\nrun: x\n",
        expect![[r#"
        error: `my web` cannot be a name
         --> <stdin>:2:7
          |
        2 | name: my web
          |       ^^^^^^
          |
          = help: a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: -web\nrun: x\n",
        expect![[r#"
        error: `-web` cannot be a name
         --> <stdin>:2:7
          |
        2 | name: -web
          |       ^^^^
          |
          = help: a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname:\nrun: x\n",
        expect![[r#"
        error: `name` is empty or not text
         --> <stdin>:2:1
          |
        2 | name:
          | ^^^^
          |
          = help: a name starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`

        1 error in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nlabels: [a]\nannotations: {\"a b\": c, d: [e]}\n",
        expect![[r#"
        error: `labels` is no map
         --> <stdin>:4:1
          |
        4 | labels: [a]
          | ^^^^^^
          |
          = help: write `labels: { app: shop }`

        error: `a b` cannot be a key of `annotations`
         --> <stdin>:5:15
          |
        5 | annotations: {"a b": c, d: [e]}
          |               ^^^^^
          |
          = help: a key has 1 to 128 letters, digits, `-`, `_`, `.` or `/`

        error: `annotations.d` is not a text of at most 65536 bytes
         --> <stdin>:5:25
          |
        5 | annotations: {"a b": c, d: [e]}
          |                         ^
          |
          = help: write a text; "" is an empty one

        3 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn environment() {
    let text = "kind: Service\nname: a\nrun: x\nenv:\n  1A: x\n  B=C: x\n  EMPTY:\n  LIST: [a]\n  REF: {fromFile: x}\n  \
                NUL: \"a\\0b\"\n  SETPOINT_HOME: x\n";
    check(
        text,
        expect![[r#"
            error: `env.1A` is no name of a variable
             --> <stdin>:5:3
              |
            5 |   1A: x
              |   ^^
              |
              = help: a name has letters, digits and `_`, and does not start with a digit

            error: `env.B=C` is no name of a variable
             --> <stdin>:6:3
              |
            6 |   B=C: x
              |   ^^^
              |
              = help: a name has letters, digits and `_`, and does not start with a digit

            error: `env.EMPTY` is empty, but it takes text, or one of fromEnv, fromFile and fromCommand
             --> <stdin>:7:3
              |
            7 |   EMPTY:
              |   ^^^^^
              |
              = help: write a value ("" for an empty text), or remove the line

            error: `env.LIST` is a list, but it takes text, or one of fromEnv, fromFile and fromCommand
             --> <stdin>:8:3
              |
            8 |   LIST: [a]
              |   ^^^^
              |
              = help: more: setpoint explain service.env

            error: `env.NUL` contains a NUL character
              --> <stdin>:10:8
               |
            10 |   NUL: "a\0b"
               |        ^^^^^^
               |
               = help: remove the `\0`; no program can be given one

            error: `env.SETPOINT_HOME` is reserved
              --> <stdin>:11:3
               |
            11 |   SETPOINT_HOME: x
               |   ^^^^^^^^^^^^^
               |
               = help: names that start with SETPOINT_ are set by setpoint itself; choose another

            6 errors in 1 of 1 file.
        "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nenv: [A=1]\n",
        expect![[r#"
            error: `env` is a list, but it maps names of variables to text
             --> <stdin>:4:1
              |
            4 | env: [A=1]
              | ^^^
              |
              = help: for example: env: {"PORT":"8080","TOKEN":{"fromFile":"secrets/token"}}

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn numbers_and_units() {
    let text = "kind: Service\nname: a\nrun: x\nreplicas: 2.5\nstop: {signal: sigterm, grace: 10}\n\
                backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}\n\
                log: {maxSize: 50MB, maxFiles: 0}\nrestart: no\n";
    check(
        text,
        expect![[r#"
        error: `replicas` is the number 2.5, but it counts processes: 0 to 1000
         --> <stdin>:4:11
          |
        4 | replicas: 2.5
          |           ^^^
          |
          = help: for example: replicas: 1

        error: `stop.signal` is `sigterm`, which is no signal
         --> <stdin>:5:16
          |
        5 | stop: {signal: sigterm, grace: 10}
          |                ^^^^^^^
          |
          = help: write TERM

        error: `stop.grace` is `10`, which has no unit
         --> <stdin>:5:32
          |
        5 | stop: {signal: sigterm, grace: 10}
          |                                ^^
          |
          = help: write 10s for seconds; the units are ms, s, m, h and d

        error: `backoff.from` is `1h30m`, which has more than one unit
         --> <stdin>:6:17
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                 ^^^^^
          |
          = help: write it in the smaller unit: 1h30m is 90m

        error: `backoff.to` is `5 sec`, which has an unknown unit
         --> <stdin>:6:28
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                            ^^^^^
          |
          = help: write 5s

        error: `backoff.factor` is the number 0.5, but it multiplies a delay: 1 to 1000
         --> <stdin>:6:43
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                                           ^^^
          |
          = help: for example: factor: 1

        error: `backoff.resetAfter` is `1.5s`, which has a fraction
         --> <stdin>:6:60
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                                                            ^^^^
          |
          = help: use a smaller unit: 1.5s is 1500ms, 1.5h is 90m

        error: `backoff.giveUp` is the text "unproved"
         --> <stdin>:6:74
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                                                                          ^^^^^^^^ did you mean `unproven`?
          |
          = help: write one of: unproven, always, never

        error: `backoff.giveUpAfter` is the number -1, but it counts crashes: 0 to 1000000
         --> <stdin>:6:97
          |
        6 | backoff: {from: 1h30m, to: 5 sec, factor: 0.5, resetAfter: 1.5s, giveUp: unproved, giveUpAfter: -1}
          |                                                                                                 ^^
          |
          = help: more: setpoint explain service.backoff

        error: `log.maxSize` is `50MB`, which has an unknown unit
         --> <stdin>:7:16
          |
        7 | log: {maxSize: 50MB, maxFiles: 0}
          |                ^^^^
          |
          = help: write 50Mi (powers of 1024) or 50M (powers of 1000)

        error: `log.maxFiles` is the number 0, but it counts files: 1 to 1000
         --> <stdin>:7:32
          |
        7 | log: {maxSize: 50MB, maxFiles: 0}
          |                                ^
          |
          = help: more: setpoint explain service.log

        error: `restart` is the text "no"
         --> <stdin>:8:10
          |
        8 | restart: no
          |          ^^ did you mean `never`?
          |
          = help: write one of: always, on-failure, never

        12 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nreplicas: 1001\nstop: {signal: STOP, grace: 2h}\n",
        expect![[r#"
        error: `replicas` is the number 1001, but it counts processes: 0 to 1000
         --> <stdin>:4:11
          |
        4 | replicas: 1001
          |           ^^^^
          |
          = help: for example: replicas: 1

        error: `stop.signal` is `STOP`, which freezes a process and ends nothing
         --> <stdin>:5:16
          |
        5 | stop: {signal: STOP, grace: 2h}
          |                ^^^^
          |
          = help: write TERM, INT, HUP or QUIT

        error: `stop.grace` is longer than 1h
         --> <stdin>:5:29
          |
        5 | stop: {signal: STOP, grace: 2h}
          |                             ^^
          |
          = help: write at most 1h

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nreplicas: 010\nstop: {signal: 99, grace: soon}\n",
        expect![[r#"
        error: `replicas` is the text "010", but it counts processes: 0 to 1000
         --> <stdin>:4:11
          |
        4 | replicas: 010
          |           ^^^
          |
          = help: for example: replicas: 1

        error: `stop.signal` is `99`, which is no signal
         --> <stdin>:5:16
          |
        5 | stop: {signal: 99, grace: soon}
          |                ^^
          |
          = help: write a name such as TERM, INT, HUP, QUIT or USR1

        error: `stop.grace` is `soon`, which is no duration
         --> <stdin>:5:27
          |
        5 | stop: {signal: 99, grace: soon}
          |                           ^^^^
          |
          = help: write a number and a unit: 500ms, 90s, 15m, 2h or 7d

        3 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nbackoff: {from: 2m}\nlog: {maxSize: 1}\n",
        expect![[r#"
        error: `backoff.from` is 2m, which is longer than `backoff.to` (1m)
         --> <stdin>:4:17
          |
        4 | backoff: {from: 2m}
          |                 ^^
          |
          = help: raise `to` to 2m or more

        error: `log.maxSize` is out of range
         --> <stdin>:5:16
          |
        5 | log: {maxSize: 1}
          |                ^
          |
          = help: write 4Ki to 1Ti

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\nbackoff: {from: 0, resetAfter: 0}\ndir: ~/web\n",
        expect![[r#"
        error: `backoff.from` is shorter than 10ms
         --> <stdin>:4:17
          |
        4 | backoff: {from: 0, resetAfter: 0}
          |                 ^
          |
          = help: write at least 10ms

        error: `backoff.resetAfter` is shorter than 100ms
         --> <stdin>:4:32
          |
        4 | backoff: {from: 0, resetAfter: 0}
          |                                ^
          |
          = help: write at least 100ms

        error: `dir` begins with `~`, which only a shell replaces
         --> <stdin>:5:6
          |
        5 | dir: ~/web
          |      ^^^^^
          |
          = help: write the whole path, as in /home/ada/web

        3 errors in 1 of 1 file.
    "#]],
    );
}

#[test]
fn the_same_object_twice() {
    check(
        "kind: Service\nname: a\nrun: x\n---\nkind: Service\nname: a\nrun: y\n",
        expect![[r#"
        error: service/a is declared twice
        --> <stdin>:5:1
         = help: the first is at <stdin>:1:1; rename or remove one of them

        1 error in 1 of 1 file.
    "#]],
    );
}

#[test]
fn long_lines_and_control_characters_stay_bounded() {
    let long = "y".repeat(500);
    check(
        &format!("kind: Service\nname: a\nrun: x\nlabels: {{ a: {long}, b: {{}} }}\n"),
        expect![[r#"
        error: `labels.a` is not a text of at most 256 bytes
         --> <stdin>:4:11
          |
        4 | labels: { a: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...
          |           ^
          |
          = help: write a text; "" is an empty one

        error: `labels.b` is not a text of at most 256 bytes
         --> <stdin>:4:157
          |
        4 | ...yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy, b: {} }
          |                                                                                                                                                             ^
          |
          = help: write a text; "" is an empty one

        2 errors in 1 of 1 file.
    "#]],
    );
    check(
        "kind: Service\nname: a\nrun: x\n\"\\e[31mred\": 1\n",
        expect![[r#"
            error: unknown field `\u{1b}[31mred` in Service "a"
             --> <stdin>:4:1
              |
            4 | "\e[31mred": 1
              | ^^^^^^^^^^^
              |
              = help: there are adopt, backoff, dir, env, envFile, forEach, group, heartbeat, inheritEnv, limits, live, log, needs, ready, replicas, restart, run, stop, tty, umask, user; more: setpoint explain service

            1 error in 1 of 1 file.
        "#]],
    );
}

#[test]
fn what_cannot_be_without_a_field_is_refused_once() {
    for adopt in ["{}", "{ commandLine: '' }"] {
        let said = crate::told(&format!("kind: Service\nname: a\nrun: x\nadopt: {adopt}\n"));
        assert!(said.contains("commandLine") && said.ends_with("1 error in 1 of 1 file.\n"), "{adopt}: {said}");
    }
}

/// What follows from a mistake is no second one.
#[test]
fn one_mistake_is_one_error() {
    for (spec, said) in [
        ("Trigger", "on: service.gave-up\nrun: x", "unknown field `on`"),
        ("Trigger", "paths: [src]\nrun: x", "unknown field `paths`"),
        ("Trigger", "event: 7\nrun: x", "`event` is the number 7"),
        ("Trigger", "watch: src\nthen: [{ runn: x }]", "unknown field `runn`"),
        ("Mailbox", "rules: [{ match: any, runn: x }]", "unknown field `runn`"),
        ("Mailbox", "rules: [{ match: any, run: x, drop: maybe }]", "`rules[0].drop` is the text"),
        ("Mailbox", "ruls: [{ match: any, run: x }]", "unknown field `ruls`"),
        ("Mailbox", "from: [{ foldr: /srv/x }]\nrules: [{ match: any, run: x }]", "unknown field `foldr`"),
        ("CronJob", "schedul: '0 3 * * *'\nrun: x", "unknown field `schedul`"),
        ("Job", "command: x", "unknown field `command`"),
        ("Service", "run: x\nlive: { httpp: ':80' }", "unknown field `httpp`"),
        ("Capability", "http: { urll: 'https://example.com' }", "unknown field `urll`"),
        ("QuietHours", "times: [{ from: '22:00', too: '07:00' }]", "unknown field `too`"),
    ]
    .map(|(kind, fields, said)| (format!("kind: {kind}\nname: a\n{fields}\n"), said))
    {
        let told = told(&spec);
        assert!(told.contains(said) && told.ends_with("1 error in 1 of 1 file.\n"), "{spec}{told}");
    }
}

/// Two mistakes are two, whatever the first hides.
#[test]
fn two_mistakes_are_two_errors() {
    for (fields, said) in [
        ("unheard: 1\nwatch: src", ["unknown field `unheard`", "does not say what to do"]),
        ("event: 7\nrun: x\natOnce: 0", ["`event` is the number 7", "`atOnce`"]),
        ("on: job.failed\nrun: x\nretry: { times: x }", ["unknown field `on`", "`retry.times`"]),
        ("watch: src\nthen: [{ runn: x }]\ntimeout: 0s", ["unknown field `runn`", "`timeout` is zero"]),
    ] {
        let told = told(&format!("kind: Trigger\nname: a\n{fields}\n"));
        assert!(said.iter().all(|said| told.contains(said)) && told.contains("2 errors in 1"), "{fields}: {told}");
    }
}
