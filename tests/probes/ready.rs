//! What makes a service ready, and what takes that from it.

use crate::peer::{Peer, Refusing, instance, reason};
use crate::world::{World, service};

#[test]
fn a_service_is_ready_as_soon_as_it_answers() {
    let world = World::new();
    let (tcp, http) = (Refusing::new(), Refusing::new());
    let (tcp_port, http_port) = (tcp.port(), http.port());
    let quick = "startup: 60s, failure: 1000";
    let text = service("tcp", "sleep 100000", &format!("ready: {{ tcp: {tcp_port}, {quick} }}"))
        + &service("http", "sleep 100000", &format!("ready: {{ http: \":{http_port}/health\", {quick} }}"))
        + &service("command", "sleep 100000", &format!("ready: {{ command: [test, -e, go], {quick} }}"))
        + &service(
            "log",
            "\"until [ -e go ]; do sleep 0.05; done; echo it is listening now; exec sleep 100000\"",
            "ready: { log: is listening }",
        )
        + &service("delay", "sleep 100000", "ready: { delay: 100ms }");
    world.write("all.yaml", &text);
    world.apply();
    let _controller = world.controller();
    world.ready("delay/0");
    for (name, expected) in [
        ("tcp/0", format!("it runs and is not ready: tcp :{tcp_port}: connection refused")),
        ("http/0", format!("it runs and is not ready: http :{http_port}/health: connection refused")),
        ("command/0", "it runs and is not ready: command test: exit 1".to_owned()),
        ("log/0", "it runs and is not ready: its output has not shown \"is listening\" yet".to_owned()),
    ] {
        world.until(&format!("{name} says {expected}"), || reason(&world, name) == expected);
        assert_eq!(world.state(name), "Starting");
        assert_eq!(instance(&world, name)["ready"], false);
    }
    let (_tcp, http) = (tcp.listen(200), http.listen(503));
    std::fs::write(world.manifests().join("go"), "").expect("a file");
    for name in ["tcp/0", "command/0", "log/0"] {
        world.ready(name);
    }
    let expected = format!("it runs and is not ready: http :{http_port}/health: 503 Service Unavailable");
    world.until(&expected, || reason(&world, "http/0") == expected);
    http.answer(200);
    world.ready("http/0");
    let health = instance(&world, "http/0")["health"]["ready"].clone();
    assert_eq!((&health["pass"], &health["said"]), (&true.into(), &format!("http :{http_port}/health: 200 OK").into()));
    let told = world.ok(&["describe", "http"]);
    assert!(told.contains(&format!("http :{http_port}/health: 200 OK")), "{told}");
    assert_eq!(world.run(&["wait", "http", "tcp", "--for", "ready", "--timeout", "30s"]).code, 0);
}

#[test]
fn a_service_that_stops_answering_is_unready_and_runs_on() {
    let world = World::new();
    let peer = Peer::new(200);
    let ready = format!("ready: {{ http: {}, period: 100ms, failure: 3 }}", peer.port());
    world.write("web.yaml", &service("web", "sleep 100000", &ready));
    world.apply();
    let _controller = world.controller();
    let main = world.ready("web/0");
    peer.answer(503);
    world.until_state("web/0", "Running");
    assert!(reason(&world, "web/0").contains("503 Service Unavailable"), "{}", reason(&world, "web/0"));
    let said = world.run(&["wait", "web", "--timeout", "1s"]);
    assert_eq!(said.code, 124);
    assert!(said.err.contains("503 Service Unavailable"), "{}", said.err);
    peer.answer(200);
    assert_eq!(world.ready("web/0"), main);
    assert_eq!(world.attempts("web/0").len(), 1);
}

#[test]
fn what_runs_keeps_the_benefit_of_ready_until_its_first_answer() {
    let world = World::new();
    let peer = Peer::new(200);
    let ready = format!("ready: {{ http: {}, period: 1s, failure: 4 }}", peer.port());
    world.write("web.yaml", &service("web", "sleep 100000", &ready));
    world.apply();
    let controller = world.controller();
    let main = world.ready("web/0");
    controller.kill();
    peer.answer(503);
    let told = world.ok(&["describe", "web"]);
    assert!(told.contains("nobody asks it now"), "{told}");
    assert_eq!(world.state("web/0"), "Ready");
    // Whoever waits for ready wants more than the benefit of the doubt.
    assert_eq!(world.run(&["wait", "web", "--timeout", "0s"]).code, 124);
    let before = peer.asked();
    let _controller = world.controller();
    // It was asked, failed, and is ready all the same: one failure is not four.
    world.until("it is asked again", || peer.asked() > before);
    assert_eq!(world.state("web/0"), "Ready");
    world.until_state("web/0", "Running");
    assert!(peer.asked() >= before + 4, "{} after {before}", peer.asked());
    peer.answer(200);
    assert_eq!(world.ready("web/0"), main);
}

#[test]
fn a_controller_that_comes_anew_does_not_roll_on_over_what_is_not_ready() {
    let world = World::new();
    let roll = |run: &str| {
        // The first attempt is ready, and what replaces it never is.
        let ready = "replicas: 3\nready: { command: [sh, -c, 'exit $((SETPOINT_ATTEMPT - 1))'], period: 1s }";
        world.write("web.yaml", &service("web", run, ready));
        world.apply();
    };
    roll("sleep 100001");
    let mut controller = world.controller();
    let old: Vec<_> = (0..3).map(|n| world.ready(&format!("web/{n}"))).collect();
    roll("sleep 100002");
    let has_told = || reason(&world, "web/0").contains("exit 1");
    world.until("the first is replaced", has_told);
    for _ in 0..2 {
        controller.kill();
        controller = world.controller();
        assert_eq!(world.run(&["wait", "web", "--timeout", "0s"]).code, 124);
        world.until("the new one has told", has_told);
        for (n, main) in old.iter().enumerate().skip(1) {
            assert_eq!(world.ready(&format!("web/{n}")), *main);
        }
    }
}

#[test]
fn a_probe_that_comes_with_a_change_does_not_judge_what_the_change_replaces() {
    let world = World::new();
    let roll = |run: &str, file: &str| {
        let ready = format!("replicas: 3\nready: {{ command: [test, -e, {file}], period: 200ms, failure: 1 }}");
        world.write("web.yaml", &service("web", run, &ready));
        world.apply();
    };
    std::fs::write(world.manifests().join("before"), "").expect("a file");
    roll("sleep 100001", "before");
    let _controller = world.controller();
    let old: Vec<_> = (0..3).map(|n| world.ready(&format!("web/{n}"))).collect();
    // What those that run can never pass, and what replaces them does not pass either for now.
    roll("sleep 100002", "after");
    let is_asked = || reason(&world, "web/0").contains("exit 1");
    world.until("the first is replaced and not ready", is_asked);
    let events = || world.ok(&["events"]).matches("service.stopping").count();
    assert_eq!(events(), 1, "{}", world.story());
    for (n, main) in old.iter().enumerate().skip(1) {
        assert_eq!(world.ready(&format!("web/{n}")), *main);
    }
    std::fs::write(world.manifests().join("after"), "").expect("a file");
    world.until("all are replaced", || {
        (0..3).all(|n| world.state(&format!("web/{n}")) == "Ready" && !old.contains(&world.ready(&format!("web/{n}"))))
    });
}

#[test]
fn what_needs_a_failure_is_not_waited_for_and_points_at_it() {
    let world = World::new();
    let text = service("migrate", "\"false\"", "restart: never")
        + &service("web", "sleep 100000", "needs: [{ name: migrate, until: done }]")
        + &service("log", "echo it is listening; exec sleep 100000", "ready: { log: listening }");
    world.write("all.yaml", &text);
    world.apply();
    let _controller = world.controller();
    world.until_state("migrate/0", "Failed");
    let waited = world.run(&["wait", "web", "--timeout", "1m"]);
    assert_eq!(waited.code, 1, "{}", waited.err);
    let told = world.ok(&["describe", "web"]);
    assert!(told.contains("Do:   setpoint describe service/migrate\n"), "{told}");
    world.ready("log/0");
    let told = world.ok(&["describe", "log"]);
    assert!(told.contains("ready:     yes\n"), "{told}");
    assert_eq!(instance(&world, "log/0")["health"]["ready"]["pass"], true);
}
