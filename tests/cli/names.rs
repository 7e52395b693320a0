//! Ways to say which object is meant, and how output is asked for.

use crate::world::{World, service};

fn two() -> World {
    let world = World::new();
    let labelled = service("web", "sleep 1000", "labels: { tier: front, env: prod }");
    world.write("all.yaml", &[labelled, service("db", "sleep 1000", "labels: { tier: back }")].concat());
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    world
}

#[test]
fn an_object_has_many_spellings() {
    let world = two();
    let names = |words: &str| world.shell(&format!("setpoint get {words} -o name -q")).out;
    for words in [
        "web",
        "service/web",
        "Service/web",
        "SERVICE/web",
        "services/web",
        "svc/web",
        "SVC/web",
        "service web",
        "Services web",
        "svc web",
        "-l tier=front",
        "-l env=prod,tier=front",
        "-l tier!=back",
        "-l env",
        "service web -l tier=front",
        "web -l tier=front",
    ] {
        assert_eq!(names(words), "service/web\n", "get {words}");
    }
    for words in ["", "all", "service", "svc", "Services", "web db", "service web db", "svc/db svc/web"] {
        let mut both: Vec<String> = names(words).lines().map(str::to_owned).collect();
        both.sort();
        assert_eq!(both, ["service/db", "service/web"], "get {words}");
    }
    assert_eq!(names("-l tier=none"), "");
    assert_eq!(world.shell("setpoint get -l tier=none -q").out, "No object has the labels tier=none.\n");
    assert_eq!(world.shell("setpoint get WEB").code, 3, "names have a case");
}

#[test]
fn verbs_that_write_take_the_same_names() {
    let world = two();
    for words in ["web", "svc/web", "Service web", "-l tier=front"] {
        for verb in ["pause", "resume", "restart"] {
            let said = world.shell(&format!("setpoint {verb} {words} -o name -q"));
            assert_eq!((said.code, said.out.as_str()), (0, "service/web\n"), "{verb} {words}: {said:?}");
        }
        // Words of systemctl mean what people expect.
        assert_eq!(world.shell(&format!("setpoint stop {words} -q && setpoint start {words} -q")).code, 0);
    }
    let said = world.shell("setpoint delete svc/web db --no-wait --keep-running -o name -q");
    assert_eq!((said.code, said.out.lines().count()), (0, 2), "{said:?}");
}

#[test]
fn quiet_is_silent_on_stderr_unless_something_is_wrong() {
    let world = two();
    for line in [
        "apply -f manifests --no-start",
        "diff -f manifests",
        "validate -f manifests",
        "get",
        "pause web",
        "resume web",
        "resume web",
        "restart web",
        "apply -f manifests --wait",
        "logs web",
        "events",
        "wait web",
        "controller start",
        "controller restart",
        "delete db",
        "controller stop --all",
        "controller stop",
        "init a",
    ] {
        let said = world.shell(&format!("setpoint {line} -q"));
        assert_eq!(said.err, "", "{line}");
    }
    assert!(world.shell("setpoint -q get nothing").err.starts_with("error: "));
}

#[test]
fn spellings_of_other_systems_work() {
    let world = two();
    let mut foreground = world.command(&["controller", "start", "--foreground"]).spawn().expect("the binary");
    world.until("it answers", || world.run(&["controller", "status"]).code == 0);
    let status = world.ok(&["controller", "status"]);
    assert!(status.contains(&format!("pid {}", foreground.id())), "{status}");
    for line in ["controller logs -n 3", "controller logs --lines 3", "controller logs --tail 3", "logs web --lines 3"]
    {
        assert_eq!(world.shell(&format!("setpoint {line}")).code, 0, "{line}");
    }
    assert!(world.ok(&["controller", "logs", "--lines", "1"]).lines().count() == 1);
    assert_eq!(world.shell("setpoint plan -f manifests").code, 0);
    world.ok(&["controller", "stop", "--all"]);
    assert!(foreground.wait().expect("a child").success());
}

#[test]
fn completions_and_help_name_every_verb() {
    let world = World::new();
    let verbs = [
        "init",
        "validate",
        "diff",
        "apply",
        "delete",
        "get",
        "describe",
        "explain",
        "schema",
        "logs",
        "events",
        "rpc",
        "attach",
        "poke",
        "restart",
        "pause",
        "resume",
        "history",
        "undo",
        "wait",
        "cron",
        "run",
        "runs",
        "import",
        "job",
        "controller",
        "completion",
        "version",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let script = world.ok(&["completion", shell]);
        assert!(verbs.iter().all(|verb| script.contains(verb)), "{shell}");
    }
    assert_eq!(world.shell("setpoint completion bash | bash -n").code, 0);
    let help = world.ok(&["--help"]);
    for verb in verbs {
        assert!(help.contains(&format!("  {verb} ")), "{verb}\n{help}");
        let own = world.run(&[verb, "--help"]);
        assert!(own.code == 0 && own.out.contains("Usage: setpoint") && own.err.is_empty(), "{own:?}");
    }
    assert_eq!(world.run(&["help"]).code, 2);
    assert_eq!(world.run(&[]).code, 2);
}
