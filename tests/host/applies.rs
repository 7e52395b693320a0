//! An `apply` may die anywhere, and may be run from anywhere, a supervised process included.

use std::process::Stdio;

use serde_json::Value;

use crate::processes;
use crate::world::{Dice, World, service};

const SEED: u64 = 7;

/// The version each of two services is recorded with; panics when they differ.
fn recorded(world: &World) -> u64 {
    let value: Value = serde_json::from_str(&world.ok(&["get", "-o", "json"])).expect("JSON");
    let version = |at: usize| value["items"][at]["spec"]["env"]["VERSION"].as_str().and_then(|v| v.parse().ok());
    let (one, other): (Option<u64>, Option<u64>) = (version(0), version(1));
    assert_eq!(one, other, "a torn generation: {value:#}");
    one.expect("a version")
}

fn write(world: &World, version: u64) {
    let env = format!("env: {{ VERSION: \"{version}\" }}");
    world.write("both.yaml", &(service("a", "sleep 100000", &env) + &service("b", "sleep 100000", &env)));
}

#[test]
fn an_apply_killed_at_every_step_leaves_the_old_or_the_new() {
    let world = World::new();
    write(&world, 0);
    world.apply();
    let begun = std::time::Instant::now();
    world.ok(&["apply", "-f", "manifests", "--no-start"]);
    let micros = u64::try_from(begun.elapsed().as_micros()).expect("a short time");
    let mut dice = Dice::new(SEED);
    let (mut before, mut new) = (0, 0);
    for version in 1..=50 {
        write(&world, version);
        // The last ten also start a controller, or die while they do.
        let words = ["apply", "-f", "manifests", "--no-start"];
        let words = if version <= 40 { &words[..] } else { &words[..3] };
        let mut apply = world.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary");
        dice.pass(micros * 3 / 2);
        apply.kill().expect("a child of ours");
        apply.wait().expect("its end");
        let now = recorded(&world);
        assert!(now == before || now == version, "{now} is neither {before} nor {version} (seed {SEED})");
        new += u64::from(now == version);
        before = now;
    }
    assert!((1..50).contains(&new), "{new} of 50 were recorded: the kills do not hit");
    write(&world, 51);
    world.ok(&["apply", "-f", "manifests", "--wait"]);
    assert_eq!(recorded(&world), 51);
    let all = world.processes();
    for name in ["service/a/0", "service/b/0"] {
        let mains: Vec<_> = all.iter().filter(|p| !p.is_shim() && p.instance() == Some(name)).collect();
        assert_eq!(mains.len(), 1, "{mains:?}");
        assert_eq!(mains[0].variable("VERSION"), Some("51"));
    }
    assert_eq!(all.iter().filter(|process| process.instance().is_none()).count(), 1, "one controller: {all:?}");
}

/// A service that runs a verb whenever it is told to, and writes down what came of it.
const INNER: &str = r#"---
kind: Service
name: inner
run: |
  while :; do
    for word in start run apply once; do
      if [ -e "go-$word" ]; then
        case $word in
          start) setpoint controller start ;;
          run) setpoint controller run ;;
          apply) setpoint apply -f ../inside ;;
          once) setpoint apply -f ../inside --once ;;
        esac > "out-$word" 2>&1
        echo $? > "code-$word.tmp"
        rm "go-$word"
        mv "code-$word.tmp" "code-$word"
      fi
    done
    sleep 0.05
  done
"#;

/// Has the inner service run one of its verbs; the exit code and what was said.
fn inside(world: &World, word: &str) -> (i32, String) {
    let file = |name: &str| world.manifests().join(format!("{name}-{word}"));
    _ = std::fs::remove_file(file("code"));
    std::fs::write(file("go"), "").expect("a file");
    world.until(&format!("{word} has been run inside"), || file("code").exists());
    let code = std::fs::read_to_string(file("code")).expect("a code");
    (code.trim().parse().expect("a number"), std::fs::read_to_string(file("out")).unwrap_or_default())
}

#[test]
fn a_verb_inside_a_service_starts_no_controller_and_no_shim_of_its_own() {
    let world = World::new();
    let bin = world.root().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_setpoint"), bin.join("setpoint")).expect("a link");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    world.write("inner.yaml", &format!("{INNER}env: {{ PATH: \"{path}\" }}\n"));
    std::fs::create_dir(world.root().join("inside")).expect("a folder");
    let write = |version: u64| {
        let text = service("guest", "sleep 100000", &format!("env: {{ VERSION: \"{version}\" }}"));
        std::fs::write(world.root().join("inside/guest.yaml"), text).expect("a manifest");
    };
    write(1);
    world.apply();
    let controller = world.controller();
    let inner = world.ready("inner/0");
    // Through the controller that runs.
    let (code, said) = inside(&world, "start");
    assert!(code == 0 && said.contains("runs already"), "{code}: {said}");
    let (code, said) = inside(&world, "apply");
    assert_eq!(code, 0, "{said}");
    let guest = world.ready("guest/0");
    assert!(!processes::has_shim_above(world.instance("guest/0").shim.expect("a shim")), "a shim under a shim");
    write(2);
    let (code, said) = inside(&world, "once");
    assert_eq!(code, 0, "{said}");
    world.until("the guest is replaced", || !processes::is_alive(guest));
    let guest = world.ready("guest/0");
    // And with none.
    controller.kill();
    for word in ["start", "run", "apply", "once"] {
        write(3);
        let (code, said) = inside(&world, word);
        assert_eq!(code, 4, "{word}: {said}");
        assert!(said.contains("inside service/inner/0"), "{word}: {said}");
        assert!(world.processes().iter().all(|process| process.instance().is_some()), "{word} started a controller");
    }
    assert!(processes::is_alive(inner) && processes::is_alive(guest));
    // Nothing was recorded by a verb that could not have it done.
    let _controller = world.controller();
    assert_eq!((world.ready("guest/0"), world.ready("inner/0")), (guest, inner));
    let (code, said) = inside(&world, "apply");
    assert_eq!(code, 0, "{said}");
    world.until("the guest is replaced", || !processes::is_alive(guest));
    world.ready("guest/0");
    assert!(processes::is_alive(inner));
}
