//! A home that was copied while its services ran: the copy adopts nothing and ends nothing.

use rustix::process::Signal;

use crate::machine::shims;
use crate::processes;
use crate::world::{World, service};

#[test]
fn a_copied_home_adopts_nothing_and_kills_nothing() {
    let world = World::new();
    world.write("web.yaml", &service("web", "sleep 1000", ""));
    world.apply();
    let web = world.ready("web/0");
    assert_eq!(world.shell("cp -a home copy").code, 0);
    let copy = |line: &str| world.shell(&format!("setpoint --home copy {line}"));
    let shown = copy("get -o json").out;
    assert!(shown.contains("\"name\": \"web\"") && shown.contains("\"pid\": null"), "it adopts: {shown}");
    // Its own controller starts what its own manifests ask for, and leaves the original's alone.
    assert_eq!(copy("controller start").code, 0);
    assert_eq!(copy("wait web --timeout 60s").code, 0, "{}", copy("get -o wide").out);
    assert_eq!(world.ready("web/0"), web, "the original was ended");
    assert_eq!(shims(&world, "web/0"), 2);
    assert_eq!(copy("restart web").code, 0);
    assert_eq!(copy("delete web").code, 0);
    assert_eq!(copy("controller stop --all").code, 0);
    assert_eq!((world.ready("web/0"), shims(&world, "web/0")), (web, 1), "the original was ended");
    // And a copy of a home whose shim was killed does not end what lingers there.
    world.kill_controller();
    let shim = world.instance("web/0").shim.and_then(processes::id).expect("a shim");
    assert!(processes::send(shim, Signal::KILL));
    world.until("it lingers", || world.instance("web/0").state == "Lingering");
    assert_eq!(world.shell("cp -a home second; setpoint --home second controller start").code, 0);
    assert_eq!(world.shell("setpoint --home second wait web --timeout 60s").code, 0);
    assert!(processes::is_alive(web), "what lingers at the original was ended");
    assert_eq!(world.shell("setpoint --home second controller stop --all").code, 0);
}
