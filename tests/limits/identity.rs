//! Who a service runs as, and what holds each of its processes back.

use setpoint::record::attempt::How;

use crate::world::{World, service};

/// Runs once and says what it is; its lines.
fn said(world: &World, line: &str, more: &str) -> Vec<String> {
    world.write("web.yaml", &service("web", &format!("\"{line}\""), &format!("restart: never\ndir: /\n{more}")));
    world.apply();
    let _controller = world.controller();
    world.until("it has ended", || world.attempts("web/0").first().is_some_and(|(_, end)| end.is_some()));
    let end = world.attempts("web/0").remove(0).1.expect("just seen");
    let lines = world.ok(&["logs", "web"]);
    assert_eq!(end.how, How::Code(0), "{lines}\n{}", world.story());
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn a_service_has_its_limits() {
    let world = World::new();
    let limits = "limits: { files: 200, fileSize: 1Mi, core: 0, stack: 4Mi, nice: 5, oomScore: 500 }\numask: \"027\"";
    let line = "umask; nice; cat /proc/self/oom_score_adj; ulimit -Hn; ulimit -f; ulimit -Hc; ulimit -s";
    assert_eq!(said(&world, line, limits), ["0027", "5", "500", "200", "2048", "0", "4096"]);
}

#[test]
fn root_runs_a_service_as_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let world = World::new();
    let line = "id -u; echo $USER $LOGNAME; echo ~nobody | grep -c $HOME; ulimit -Hu 2>/dev/null || ulimit -Hp";
    let more = "user: nobody\nlimits: { processes: 500 }\nenv: { SHELL: /bin/sh }";
    assert_eq!(said(&world, line, more), ["65534", "nobody nobody", "1", "500"]);
}

#[test]
fn a_user_that_cannot_be_had_is_a_start_that_failed() {
    let is_root = rustix::process::geteuid().is_root();
    let help = "only root may start programs as somebody else; run the controller as root";
    let (user, words) = match is_root {
        true => ("no-such-user", "user no-such-user: there is no such user here; see: getent passwd".to_owned()),
        false => ("root", format!("user root: {help}")),
    };
    let world = World::new();
    let more = format!("user: {user}\nbackoff: {{ from: 10ms, to: 20ms, giveUpAfter: 2 }}");
    world.write("web.yaml", &service("web", "sleep 100000", &more));
    world.apply();
    let _controller = world.controller();
    world.until_state("web/0", "GaveUp");
    for (_, end) in world.attempts("web/0") {
        assert_eq!(end.map(|end| end.how), Some(How::NotStarted(words.clone())));
    }
    assert!(world.ok(&["describe", "web"]).contains(&words));
}
