//! Who has the words of a command line, and is somebody else.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::strangers::{Stranger, told, watcher, watchers, with_argv};
use crate::world::{World, said, service};

/// Ours runs although the look-alikes do.
#[track_caller]
fn is_started(world: &World, name: &str) {
    world.ready(name);
    let told = told(world, name);
    assert!(told["adopted"] == false && told["shimPid"].is_u64(), "{told}");
}

#[test]
fn who_only_has_the_words_in_its_arguments_is_somebody_else() {
    let world = World::new();
    let file = world.root().join("file");
    let words = format!("tail -F {}", file.display());
    let file_word = file.display().to_string();
    let dead = Stranger::start(&world, &["tail", "-F", &file_word]);
    dead.die(&world);
    let _alike = [
        Stranger::start(&world, &["sh", "-c", &format!(": {words}; sleep 1000; :")]),
        // An editor with the words as the name of its file.
        Stranger::start(&world, &["tail", "-F", &words]),
        Stranger::start(&world, &["grep", &words, "-"]),
        Stranger::start(&world, &["tail", "-F", &file_word, "more"]),
        // The very words, behind a program of another name.
        Stranger::start(&world, &["sh", "-c", "sleep 1000; :", "tail", "-F", &file_word]),
        dead,
    ];
    world.write("w.yaml", &watcher(&file, ""));
    world.apply();
    let _controller = world.controller();
    is_started(&world, "w/0");
}

#[test]
fn our_own_program_is_never_adopted_whatever_it_was_told() {
    let world = World::new();
    let needle = format!("needle{}", std::process::id());
    world.write("n.yaml", &service(&needle, "sleep 1000", &format!("adopt: {{ commandLine: '.*{needle}.*' }}")));
    world.apply();
    // It prints every change for as long as it lives, and the name stands in its arguments.
    let mut get = world.command(&["get", "-w", &needle]).stdout(Stdio::null()).spawn().expect("the binary");
    let copy = world.root().join("setpoint");
    std::fs::copy(env!("CARGO_BIN_EXE_setpoint"), &copy).expect("a copy");
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("permissions");
    let mut other = Command::new(&copy);
    other.args(["get", "-w", &needle]).env("SETPOINT_HOME", world.home()).stdout(Stdio::null());
    let mut other = other.current_dir(world.root()).spawn().expect("the copy");
    let _controller = world.controller();
    is_started(&world, &format!("{needle}/0"));
    let alive = [&mut get, &mut other].map(|child| child.try_wait().expect("a child").is_none());
    for child in [&mut get, &mut other] {
        _ = child.kill();
        _ = child.wait();
    }
    assert_eq!(alive, [true, true], "both looked on all the while");
}

#[test]
fn a_process_of_another_home_is_its_own() {
    let (world, other) = (World::new(), World::new());
    let file = world.root().join("file");
    other.write("w.yaml", &service("w", &format!("[tail, -F, '{}']", file.display()), ""));
    other.apply();
    let _others = other.controller();
    other.ready("w/0");
    world.write("w.yaml", &watcher(&file, ""));
    world.apply();
    let _controller = world.controller();
    is_started(&world, "w/0");
    assert_eq!(watchers(&file).len(), 2, "each home has one");
}

#[test]
fn of_a_chain_the_topmost_counts_and_of_a_shell_its_child() {
    let world = World::new();
    let mark = world.root().display().to_string();
    let pattern = format!("sh -c .* {}", mark.replace('.', "\\."));
    // The part in brackets is the shell once more, with the same arguments.
    let chain = Stranger::start(&world, &["sh", "-c", "(while :; do sleep 1; done); :", &mark]);
    let words = ["sh", "-c", "(while :; do sleep 1; done); :", &mark];
    world.until("the shell has its child", || with_argv(&words).len() == 2);
    world.write("w.yaml", &service("w", "sleep 1000", &format!("adopt: {{ commandLine: '{pattern}' }}")));
    let file = world.root().join("file");
    let shell = Stranger::start(&world, &["sh", "-c", &format!("tail -F {}; :", file.display())]);
    world.until("the shell has started it", || watchers(&file).len() == 1);
    world.write("v.yaml", &watcher(&file, "").replace("name: w", "name: v"));
    world.apply();
    let _controller = world.controller();
    world.ready("w/0");
    world.ready("v/0");
    assert_eq!(world.instance("w/0").pid, chain.pid());
    assert_ne!(world.instance("v/0").pid, shell.pid());
    assert_eq!(world.instance("v/0").pid, Some(watchers(&file)[0].pid));
    assert!(told(&world, "w/0")["adopted"] == true && told(&world, "v/0")["adopted"] == true);
}

#[test]
fn a_long_argument_list_is_read_to_its_end() {
    let world = World::new();
    let file = world.root().join("file");
    let long = format!("{}z", "a".repeat(100_000));
    let pattern = format!("adopt: {{ commandLine: 'tail -F {} a+z' }}", file.display());
    let twin = Stranger::start(&world, &["tail", "-F", &file.display().to_string(), &long]);
    let short = format!("adopt: {{ commandLine: 'tail -F {} a+' }}", file.display());
    world.write("w.yaml", &service("w", "sleep 1000", &pattern));
    world.write("v.yaml", &service("v", "sleep 1000", &short));
    world.apply();
    let _controller = world.controller();
    world.ready("w/0");
    assert_eq!(world.instance("w/0").pid, twin.pid());
    is_started(&world, "v/0");
}

#[test]
fn where_processes_may_be_hidden_nothing_is_started() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root may mount /proc anew");
        return;
    }
    let world = World::new();
    world.write("w.yaml", &watcher(&world.root().join("file"), ""));
    std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o777)).expect("permissions");
    let nobody = format!(
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \
         'cd {0} && export SETPOINT_HOME={0}/nobody && {1} apply -f manifests --once && {1} get -o json'",
        world.root().display(),
        env!("CARGO_BIN_EXE_setpoint"),
    );
    let run = |options: &str| {
        let script = format!("mount -o remount,{options} /proc && {nobody}");
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
        said(unshare.output().expect("unshare"))
    };
    if run("hidepid=2").err.contains("mount") {
        println!("skipped: /proc cannot be mounted anew here");
        return;
    }
    let hidden = run("hidepid=2");
    assert!(hidden.out.contains("\"state\": \"Unknown\"") && hidden.out.contains("hidepid"), "{hidden:?}");
    assert!(hidden.out.contains("\"attempt\": null"), "{hidden:?}");
    let open = run("hidepid=0");
    assert!(open.out.contains("\"attempt\": 1"), "{open:?}");
}
