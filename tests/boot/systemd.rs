//! The unit in the hands of a real systemd: one for a user, in namespaces and a group of the test's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{World, said, service};

/// Where systemd itself lies.
const SYSTEMD: &str = "/lib/systemd/systemd";

/// Gives systemd what it looks for: a place for its sockets, and a group to put others into.
const OUTSIDE: &str = r#"
mount -t tmpfs none /run && mkdir -p /run/systemd/system /run/user/0 && chmod 700 /run/user/0 || exit 99
mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
group=/sys/fs/cgroup/$(basename "$HOME")
mkdir "$group" && echo 0 > "$group/cgroup.procs" || exit 99
unshare --cgroup /bin/sh -c "$INSIDE"
code=$?
echo 0 > /sys/fs/cgroup/cgroup.procs
# Groups are removed from the innermost outward, when the last process has left them.
n=0; while [ -d "$group" ] && [ $n -lt 100 ]; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; n=$((n+1)); sleep 0.05; done
exit $code
"#;

const INSIDE: &str = r#"
umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 99
state() { systemctl --user is-active setpoint; }
until_so() { n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 600 ] || { echo "in vain: $*" >&2; exit 1; }; sleep 0.05; done; }
pids() { "$SETPOINT" get -o json | grep '"shimPid"\|"pid"' | tr -d ' \n'; }
controller() { cat "$HOME/.local/state/setpoint/controller.pid"; }
another() { [ "$(controller)" != "$1" ] && "$SETPOINT" controller status; }
mkdir -p "$HOME/.config/systemd/user"
setpriv --reuid=12345 --regid=12345 --clear-groups "$SETPOINT" controller install --print -f "$HOME/manifests" \
    > "$HOME/.config/systemd/user/setpoint.service" || exit 1
"$SYSTEMD" --user --log-target=null & manager=$!
until_so systemctl --user is-system-running
systemctl --user daemon-reload && systemctl --user enable --now setpoint.service || exit 1
echo "started=$(state) $("$SETPOINT" controller status >/dev/null && echo answers)"
until_so "$SETPOINT" get slow && "$SETPOINT" wait slow web -q --timeout 60s || exit 1
before=$(pids)
systemctl --user restart setpoint && until_so "$SETPOINT" controller status
echo "restarted=$(state) $([ "$before" = "$(pids)" ] && echo same)"
old=$(controller); kill -9 "$old"; until_so another "$old"
echo "killed=$(state) $([ "$before" = "$(pids)" ] && echo same)"
main() { [ "$(systemctl --user show setpoint -p MainPID --value)" = "$(controller)" ] && "$SETPOINT" controller status; }
"$SETPOINT" controller restart -q; until_so main
echo "by hand=$(state) $([ "$before" = "$(pids)" ] && echo same)"
systemctl --user stop setpoint
echo "stopped=$(state) $([ "$before" = "$(pids)" ] && echo same)"
systemctl --user start setpoint && until_so "$SETPOINT" controller status
groups() { grep -o 'may not be written to\|lacks the controllers\|can be limited'; }
echo "groups of another=$(setpriv --reuid=12345 --regid=12345 --clear-groups "$SETPOINT" --home /nowhere/home doctor | groups)"
echo "groups=$("$SETPOINT" doctor | groups | sort -u | sed 's/lacks the controllers/can be limited/')"
systemctl --user exit; wait $manager
echo "down=$? $(cat "$HOME/bye")"
"#;

#[test]
fn a_real_systemd_keeps_the_controller_and_leaves_services_alone_until_the_machine_goes_down() {
    if !rustix::process::geteuid().is_root() || !Path::new(SYSTEMD).exists() {
        return println!("skipped: it takes root and a systemd");
    }
    let world = World::new();
    let slow = "\"trap 'sleep 0.5; echo bye >> bye; exit 0' TERM; while :; do sleep 0.05; done\"";
    world.write("slow.yaml", &service("slow", slow, "dir: .."));
    world.write("web.yaml", &service("web", "sleep 1001", ""));
    // The unit is printed by somebody else, who has to come in.
    for folder in [world.root(), &world.root().join("manifests")] {
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", OUTSIDE]);
    command.current_dir(world.root()).stdin(Stdio::null()).env_clear();
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", world.root());
    command.env("XDG_RUNTIME_DIR", "/run/user/0").env("INSIDE", INSIDE).env("SYSTEMD", SYSTEMD);
    command.env("SETPOINT", env!("CARGO_BIN_EXE_setpoint")).env(crate::processes::WORLD, world.root());
    let said = said(command.output()).expect("unshare");
    if said.code == 99 || said.err.contains("unshare:") {
        return println!("skipped: no namespaces for systemd: {}", said.err.trim());
    }
    assert_eq!(said.code, 0, "{said:?}");
    let found: BTreeMap<&str, &str> = said.out.lines().filter_map(|line| line.split_once('=')).collect();
    let expected = [
        ("started", "active answers"),
        ("restarted", "active same"),
        ("killed", "active same"),
        ("by hand", "active same"),
        ("stopped", "inactive same"),
        ("groups of another", "may not be written to"),
        // With or without the controllers for it, which is up to the machine.
        ("groups", "can be limited"),
        ("down", "0 bye"),
    ];
    assert_eq!(found, expected.into_iter().collect(), "{said:?}");
}
