//! Units and agents: what is written, who is asked, and what is said when nobody answers.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use expect_test::{Expect, expect};

use crate::processes;
use crate::world::{Said, World, said, service};

/// Whom root stands in for, since it may not write into the machine it tests.
const SOMEBODY: u32 = 12345;

/// What is said to who installs straight from a build.
const BUILD_FOLDER: &str = "note: it starts a binary in a build folder, which the next build replaces or removes; better:\n  \
                            cargo install --path . && setpoint controller install\n";

/// A machine whose `systemctl` and `launchctl` write down what they are asked, and fail at one word.
struct Machine {
    world: World,
}

impl Machine {
    fn new(fails_at: &str) -> Machine {
        let world = World::new();
        let programs = world.root().join("programs");
        std::fs::create_dir(&programs).expect("a folder");
        for program in ["systemctl", "launchctl"] {
            let path = programs.join(program);
            let script = format!(
                "#!/bin/sh\necho \"{program} $*\" >> '{}'\n\
                 case \" $* \" in *' {fails_at} '*) echo 'Failed to connect to bus: no such thing' >&2; exit 1;; esac\n",
                world.root().join("calls").display()
            );
            std::fs::write(&path, script).expect("a script");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
        }
        std::fs::write(world.root().join("calls"), "").expect("a file");
        let machine = Machine { world };
        machine.give(machine.world.root());
        for entry in walkdir::WalkDir::new(machine.world.root()).into_iter().flatten() {
            machine.give(entry.path());
        }
        machine
    }

    /// Lets whoever calls the verbs own this.
    fn give(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            chown(path, Some(SOMEBODY), Some(SOMEBODY)).expect("an owner");
        }
    }

    /// A verb of a plain user whose home folder is the world, and whose setpoint home is where it is by itself.
    fn run(&self, words: &[&str]) -> Said {
        self.run_with(&self.world.root().join("programs").display().to_string(), words)
    }

    fn run_with(&self, path: &str, words: &[&str]) -> Said {
        let setpoint = self.world.command(words);
        let mut command = match rustix::process::geteuid().is_root() {
            true => {
                let mut command = Command::new("/usr/bin/setpriv");
                command.args([&format!("--reuid={SOMEBODY}"), &format!("--regid={SOMEBODY}"), "--clear-groups"]);
                command.arg(setpoint.get_program());
                command
            }
            false => Command::new(setpoint.get_program()),
        };
        command.args(setpoint.get_args()).current_dir(self.world.root()).env_clear().env("PATH", path);
        command.env("HOME", self.world.root()).env(processes::WORLD, self.world.root());
        said(command.output()).expect("the binary")
    }

    /// What was asked since the last time.
    fn calls(&self) -> String {
        let path = self.world.root().join("calls");
        let calls = std::fs::read_to_string(&path).expect("calls");
        std::fs::write(&path, "").expect("calls");
        self.plain(&calls)
    }

    fn unit(&self) -> PathBuf {
        self.world.root().join(".config/systemd/user/setpoint.service")
    }

    fn plain(&self, text: &str) -> String {
        let uid = if rustix::process::geteuid().is_root() { SOMEBODY } else { rustix::process::geteuid().as_raw() };
        let user = setpoint::desired::principal();
        self.world
            .plain(text)
            .replace(&format!("gui/{uid}/"), "gui/UID/")
            .replace(&format!("gui/{uid} "), "gui/UID ")
            .replace(&format!("enable-linger {user}"), "enable-linger")
            .replace(env!("CARGO_BIN_EXE_setpoint"), "SETPOINT")
    }

    #[track_caller]
    fn check(&self, words: &[&str], expected: &Expect) {
        self.check_with(&self.world.root().join("programs").display().to_string(), words, expected);
    }

    #[track_caller]
    fn check_with(&self, path: &str, words: &[&str], expected: &Expect) {
        let said = self.run_with(path, words);
        // Only said of a binary where cargo puts it, which is up to whoever runs the tests.
        let err = self.plain(&said.err).replace(BUILD_FOLDER, "");
        expected.assert_eq(&format!("{}{err}= {}\n{}", said.out, said.code, self.calls()));
    }
}

#[test]
fn a_unit_is_written_and_started_again_and_again_and_taken_away() {
    let machine = Machine::new("never");
    machine.check(
        &["controller", "install"],
        &expect![[r#"
            wrote ROOT/.config/systemd/user/setpoint.service; the controller runs, now and whenever you log in
            note: it ends when you log out, with all services; to keep it, and to start it with the machine:
              loginctl enable-linger
            = 0
            systemctl --user daemon-reload
            systemctl --user enable --now setpoint.service
        "#]],
    );
    let first = std::fs::read_to_string(machine.unit()).expect("a unit");
    let is_in_build_folder = env!("CARGO_BIN_EXE_setpoint").contains("/target/debug/");
    assert_eq!(machine.run(&["controller", "install"]).err.contains(BUILD_FOLDER), is_in_build_folder);
    machine.calls();
    machine.check(
        &["controller", "install"],
        &expect![[r#"
            wrote ROOT/.config/systemd/user/setpoint.service; the controller runs, now and whenever you log in
            note: it ends when you log out, with all services; to keep it, and to start it with the machine:
              loginctl enable-linger
            = 0
            systemctl --user stop setpoint.service
            systemctl --user daemon-reload
            systemctl --user enable --now setpoint.service
        "#]],
    );
    assert_eq!(first, std::fs::read_to_string(machine.unit()).expect("a unit"));
    let printed = machine.run(&["controller", "install", "--print"]);
    assert_eq!((printed.code, printed.out), (0, first));
    machine.check(
        &["controller", "uninstall"],
        &expect![[r#"
        removed ROOT/.config/systemd/user/setpoint.service; the controller is stopped, services run on
        = 0
        systemctl --user disable --now setpoint.service
        systemctl --user daemon-reload
    "#]],
    );
    assert!(!machine.unit().exists());
    machine.check(
        &["controller", "uninstall"],
        &expect![[r#"
        nothing is installed: there is no ROOT/.config/systemd/user/setpoint.service
        = 0
    "#]],
    );
}

#[test]
fn an_agent_is_written_and_started_again_and_again_and_taken_away() {
    let machine = Machine::new("never");
    let file = machine.world.root().join("Library/LaunchAgents/setpoint.controller.plist");
    machine.check(
        &["controller", "install", "--format", "launchd"],
        &expect![[r#"
            wrote ROOT/Library/LaunchAgents/setpoint.controller.plist; the controller runs, now and whenever you log in
            = 0
            launchctl bootstrap gui/UID ROOT/Library/LaunchAgents/setpoint.controller.plist
        "#]],
    );
    machine.check(
        &["controller", "install", "--format", "launchd"],
        &expect![[r#"
            wrote ROOT/Library/LaunchAgents/setpoint.controller.plist; the controller runs, now and whenever you log in
            = 0
            launchctl bootout gui/UID/setpoint.controller
            launchctl bootstrap gui/UID ROOT/Library/LaunchAgents/setpoint.controller.plist
        "#]],
    );
    assert!(file.exists());
    machine.check(
        &["controller", "uninstall", "--format", "launchd"],
        &expect![[r#"
        removed ROOT/Library/LaunchAgents/setpoint.controller.plist; the controller is stopped, services run on
        = 0
        launchctl bootout gui/UID/setpoint.controller
    "#]],
    );
    assert!(!file.exists());
}

#[test]
fn what_to_type_by_hand_is_said_whenever_the_system_does_not_do_its_part() {
    let install = ["controller", "install", "-f", "manifests"];
    let machine = Machine::new("daemon-reload");
    machine.check(&install, &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service is written, but `systemctl --user daemon-reload` failed (exit status: 1): Failed to connect to bus: no such thing
          help: start it by hand: SETPOINT controller start -f ROOT/manifests
        = 1
        systemctl --user daemon-reload
    "#]]);
    assert!(machine.unit().exists());
    machine.check(&["controller", "uninstall"], &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service is removed, but `systemctl --user daemon-reload` failed (exit status: 1): Failed to connect to bus: no such thing
          help: if its controller still runs, end it by hand: setpoint controller stop
        = 1
        systemctl --user disable --now setpoint.service
        systemctl --user daemon-reload
    "#]]);
    assert!(!machine.unit().exists());
    let machine = Machine::new("enable");
    machine.check(&install, &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service is written, but `systemctl --user enable --now setpoint.service` failed (exit status: 1): Failed to connect to bus: no such thing
          help: start it by hand: SETPOINT controller start -f ROOT/manifests
        = 1
        systemctl --user daemon-reload
        systemctl --user enable --now setpoint.service
    "#]]);
    assert!(machine.unit().exists());
    let machine = Machine::new("bootstrap");
    machine.check(&["controller", "install", "--format", "launchd"], &expect![[r#"
        error: ROOT/Library/LaunchAgents/setpoint.controller.plist is written, but `launchctl bootstrap gui/UID ROOT/Library/LaunchAgents/setpoint.controller.plist` failed (exit status: 1): Failed to connect to bus: no such thing
          help: start it by hand: SETPOINT controller start
        = 1
        launchctl bootstrap gui/UID ROOT/Library/LaunchAgents/setpoint.controller.plist
    "#]]);
    let machine = Machine::new("never");
    machine.check_with(
        "/nowhere",
        &install,
        &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service is written, but there is no `systemctl` on PATH
          help: start it by hand: SETPOINT controller start -f ROOT/manifests
        = 1
    "#]],
    );
    assert!(machine.unit().exists());
    machine.check_with(
        "/nowhere",
        &["controller", "uninstall"],
        &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service is removed, but there is no `systemctl` on PATH
          help: if its controller still runs, end it by hand: setpoint controller stop
        = 1
    "#]],
    );
    assert!(!machine.unit().exists());
}

#[test]
fn a_unit_that_cannot_be_written_is_said() {
    let machine = Machine::new("never");
    std::fs::write(machine.world.root().join(".config"), "no folder").expect("a file");
    machine.check(
        &["controller", "install"],
        &expect![[r#"
        error: ROOT/.config/systemd/user/setpoint.service cannot be written: Not a directory (os error 20)
          help: setpoint controller install --print prints the text of it; until then start it by hand: SETPOINT controller start
        = 1
    "#]],
    );
}

#[test]
fn a_controller_that_runs_is_replaced_and_its_folders_and_services_stay() {
    for (fails_at, code) in [("never", 0), ("enable", 1)] {
        let machine = Machine::new(fails_at);
        machine.world.write("web.yaml", &service("web", "/bin/sleep 1001", ""));
        let started = machine.run(&["controller", "start", "-f", "manifests"]);
        assert_eq!(started.code, 0, "{started:?}");
        let home = machine.world.root().join(".local/state/setpoint");
        let pid = || std::fs::read_to_string(home.join("controller.pid")).ok();
        let before = pid().expect("a controller");
        let services = || machine.world.processes().into_iter().filter(|p| p.instance.is_some()).collect::<Vec<_>>();
        machine.world.until("the service runs", || machine.run(&["wait", "web"]).code == 0);
        let running: Vec<processes::Id> = services().iter().map(|process| process.id).collect();
        let said = machine.run(&["controller", "install"]);
        assert_eq!(said.code, code, "{said:?}");
        let unit = std::fs::read_to_string(machine.unit()).expect("a unit");
        let folder = machine.world.root().join("manifests");
        assert!(unit.contains(&format!("controller run --replace -f {}\n", folder.display())), "{unit}");
        match code {
            0 => assert_eq!(pid(), None, "the old one would keep the system's own from running"),
            _ => assert!(pid().is_some_and(|pid| pid != before), "nobody is there in its stead"),
        }
        assert!(running.into_iter().all(processes::is_alive));
    }
}

/// Paths in which everything means something to somebody.
const HARD: [&str; 5] = ["/srv/plain", "/srv/a b", "/srv/50%n $HOME", "/srv/q\"'x\\n", "/srv/ü<&>;"];

#[test]
fn systemd_takes_every_unit() {
    if said(Command::new("systemd-analyze").arg("--version").output()).is_err() {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    let world = World::new();
    let file = world.root().join("setpoint.service");
    for home in HARD {
        // As root it is one for the machine.
        let unit = world.ok(&["controller", "install", "--print", "--home", home, "-f", "manifests"]);
        std::fs::write(&file, unit).expect("a unit");
        let mut verify = Command::new("systemd-analyze");
        verify.args(if rustix::process::geteuid().is_root() { &["verify"][..] } else { &["--user", "verify"] });
        // Without a login there is none, and the user's half of systemd insists.
        let said = said(verify.arg(&file).env("XDG_RUNTIME_DIR", world.root()).output()).expect("systemd-analyze");
        // Systemd knows subgroups since 254, and says of earlier ones that it ignores the line.
        let complaints = said.err.lines().filter(|line| line.contains("setpoint.service"));
        let wrong = complaints.filter(|line| !line.contains("DelegateSubgroup")).count();
        assert_eq!((said.code, wrong), (0, 0), "{home}: {}", said.err);
    }
    let broken = "[Service]\nExecStart=/bin/true\nKillMod=process\n";
    std::fs::write(&file, broken).expect("a unit");
    let said = said(Command::new("systemd-analyze").arg("verify").arg(&file).output()).expect("systemd-analyze");
    assert!(said.err.contains("KillMod"), "it would take anything: {}", said.err);
}

#[test]
fn an_agent_is_a_property_list_with_every_word_in_its_place() {
    let world = World::new();
    for home in HARD {
        let text =
            world.ok(&["controller", "install", "--print", "--format", "launchd", "--home", home, "-f", "manifests"]);
        let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let agent = value.as_dictionary().expect("a dictionary");
        let words = agent["ProgramArguments"].as_array().expect("a list").iter().filter_map(plist::Value::as_string);
        let folder = world.root().join("manifests").display().to_string();
        let expected =
            [env!("CARGO_BIN_EXE_setpoint"), "--home", home, "controller", "run", "--replace", "-f", &folder];
        assert_eq!(words.collect::<Vec<_>>(), expected);
        for key in ["RunAtLoad", "KeepAlive", "AbandonProcessGroup"] {
            assert_eq!(agent[key].as_boolean(), Some(true), "{key}");
        }
        let env = agent["EnvironmentVariables"].as_dictionary().expect("a dictionary");
        assert!(env["PATH"].as_string().is_some_and(|path| path.starts_with("/usr/local/sbin:")), "{env:?}");
        assert!(agent["Label"].as_string().is_some_and(|label| label.starts_with("setpoint.controller-")), "{agent:?}");
    }
}

#[test]
fn a_unit_reads_as_it_should() {
    let machine = Machine::new("never");
    let said = machine.run_with("/usr/bin:relative::/opt/a b:/usr/bin", &["controller", "install", "--print"]);
    expect![[r##"
        # Written by `setpoint controller install`, which also overwrites it. For changes of your own:
        # systemctl --user edit setpoint.service
        [Unit]
        Description=setpoint, which keeps services as their manifests say
        StartLimitIntervalSec=0

        [Service]
        Type=notify
        ExecStart=SETPOINT controller run --replace
        ExecReload=/bin/kill -HUP $MAINPID
        # Services outlast the controller, but not the machine: then each is stopped with its grace.
        ExecStop=-/bin/sh -c "test \"$$(systemctl --user is-system-running)\" != stopping || exec \"$$0\" \"$$@\"" SETPOINT controller stop --all
        Environment="PATH=/usr/bin:/opt/a b"
        Restart=always
        RestartSec=1
        TimeoutStopSec=90
        # Services live in this group and are not the unit's to end.
        KillMode=process
        OOMPolicy=continue
        Delegate=yes
        DelegateSubgroup=setpoint-controller
        TasksMax=infinity

        [Install]
        WantedBy=default.target
    "##]].assert_eq(&machine.plain(&said.out));
}

#[test]
fn two_homes_have_two_units_and_a_path_that_is_no_line_has_none() {
    let world = World::new();
    let name = |home: &str| {
        let said = world.run(&["controller", "install", "--print", "--format", "launchd", "--home", home]);
        let label = said.out.lines().find(|line| line.contains("setpoint.controller")).map(str::to_owned);
        label.ok_or(said.err)
    };
    assert_ne!(name("/srv/one"), name("/srv/two"));
    assert_eq!(name("/srv/one"), name("/srv/one"));
    let refused = name("/srv/one\ntwo").expect_err("no unit");
    assert!(refused.contains("cannot be written into a unit file"), "{refused}");
}

#[test]
fn root_has_a_unit_for_the_machine() {
    let machine = Machine::new("never");
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root may install for the machine");
    }
    // A folder of the test's own in the place of the machine's.
    let home = machine.world.root().join("of-root");
    let script = format!(
        "mount -t tmpfs none /etc/systemd/system || exit 99; export PATH='{}'; '{}' --home '{}' controller install; \
         echo \"= $?\"; exec /bin/cat /etc/systemd/system/setpoint-*.service",
        machine.world.root().join("programs").display(),
        env!("CARGO_BIN_EXE_setpoint"),
        home.display()
    );
    let said = said(Command::new("unshare").args(["--mount", "/bin/sh", "-c", &script]).output()).expect("unshare");
    if said.code == 99 || said.err.contains("unshare failed") {
        return println!("skipped: nothing may be mounted: {}", said.err.trim());
    }
    assert!(said.out.starts_with("= 0\n"), "{said:?}");
    assert!(said.out.contains("WantedBy=multi-user.target") && said.out.contains("User=root"), "{}", said.out);
    assert!(said.err.contains("whenever the machine starts") && !said.err.contains("linger"), "{}", said.err);
    let calls = machine.calls();
    assert!(calls.starts_with("systemctl daemon-reload\nsystemctl enable --now setpoint-"), "{calls}");
}

#[test]
fn whoever_waits_is_told_that_it_answers() {
    for is_abstract in [false, true] {
        let world = World::new();
        let path = world.root().join("notify");
        let (socket, address) = match is_abstract {
            false => (UnixDatagram::bind(&path).expect("a socket"), path.display().to_string()),
            true => {
                use std::os::linux::net::SocketAddrExt;
                let name = path.display().to_string();
                let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
                (UnixDatagram::bind_addr(&address).expect("a socket"), format!("@{name}"))
            }
        };
        let mut controller = world.command(&["controller", "run"]);
        let mut controller =
            controller.env("NOTIFY_SOCKET", address).stderr(std::process::Stdio::null()).spawn().expect("a controller");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut text = [0; 64];
        let length = socket.recv(&mut text).expect("its word");
        assert_eq!(text.get(..length), Some(&b"READY=1\n"[..]));
        assert_eq!(world.run(&["controller", "stop"]).code, 0);
        assert!(controller.wait().expect("its end").success());
    }
}

#[test]
fn the_systems_own_replaces_one_in_the_background_and_no_other() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    world.apply();
    let web = world.ready("web/0");
    let background = world.controller();
    let run = || {
        let mut command = world.command(&["controller", "run", "--replace"]);
        command.stderr(std::process::Stdio::piped()).spawn().expect("a controller")
    };
    let mut own = run();
    world.until("it has taken its place", || {
        !processes::is_alive(background) && world.run(&["controller", "status"]).code == 0
    });
    assert_eq!(world.controller().pid, own.id());
    let second = run().wait_with_output().expect("its end");
    assert_eq!(second.status.code(), Some(5), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(world.controller().pid, own.id());
    assert_eq!(world.ready("web/0"), web);
    assert_eq!(world.run(&["controller", "stop"]).code, 0);
    assert!(own.wait().expect("its end").success());
}
