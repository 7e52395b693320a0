//! What of the controller stands in the way: of the one that runs, or of the next.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

use super::{Finding, machine::cgroups};
use crate::cli::install::{self, unit};
use crate::cli::{Global, controller};
use crate::home::Home;
use crate::observe::machine;
use crate::observe::{ProcTable, Table};

/// Looks at the controller of a home, and at what starts it.
pub fn look(global: &Global, home: Option<&Home>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(home) = home {
        found.extend(socket(home));
        match controller::status_of(home) {
            Ok(Some(status)) => found.extend(running(&status)),
            Ok(None) => found.extend(absent(home)),
            Err(error) => found.push(Finding::error("controller", &error)),
        }
    }
    found.push(boot(global));
    found.extend(linger(global));
    found
}

fn socket(home: &Home) -> Option<Finding> {
    let path = match home.socket() {
        Ok(path) => path,
        Err(error) => return Some(Finding::error("socket", &error)),
    };
    let meta = path.symlink_metadata().ok()?;
    let (mode, owner) = (meta.mode() & 0o7777, meta.uid());
    let path = path.display();
    if owner != rustix::process::geteuid().as_raw() {
        let what = format!("the socket {path} belongs to uid {owner}");
        return Some(Finding::fail("socket", what, format!("rm {path}; setpoint controller restart")));
    }
    Some(match mode & 0o077 {
        0 => Finding::ok("socket", format!("the socket {path} is private")),
        _ => {
            let what = format!("the socket {path} is open to other users (mode {mode:04o})");
            Finding::warn("socket", what, format!("chmod 600 {path}"))
        }
    })
}

fn running(status: &Value) -> Vec<Finding> {
    const AGAIN: &str = "setpoint controller restart; services run on";
    let pid = status.get("pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let version = status.get("version").and_then(Value::as_str).unwrap_or("?");
    let ours = env!("CARGO_PKG_VERSION");
    let us = machine::program(std::process::id());
    let its = machine::program(pid);
    let mut found = vec![match (its, us) {
        _ if version != ours => {
            let what = format!("the controller (pid {pid}) is version {version}, and this binary is {ours}");
            Finding::warn("controller", what, AGAIN)
        }
        (Some((path, true)), _) => {
            let what =
                format!("the controller (pid {pid}) runs a binary that was replaced or removed: {}", path.display());
            Finding::warn("controller", what, AGAIN)
        }
        (Some((path, _)), Some((us, _))) if path != us => Finding::note(
            "controller",
            format!("the controller (pid {pid}) runs {}, and this is {}", path.display(), us.display()),
            format!("nothing, or to have it run this one: {AGAIN}"),
        ),
        _ => Finding::ok("controller", format!("the controller (pid {pid}) answers and is this very binary")),
    }];
    found.extend(path_of(pid));
    found.extend(status.get("store_trouble").and_then(Value::as_str).map(|why| {
        let what = format!("the controller cannot write down runs, so none begins; services go on: {why}");
        Finding::fail("store", what, "setpoint events --type 'store.*'; it goes on by itself when that is mended")
    }));
    if cgroups(pid) != cgroups(std::process::id()) {
        let of_it = cgroups(pid);
        found.push(Finding { what: format!("of the controller: {}", of_it.what), ..of_it });
    }
    let problems = status.get("problems").and_then(Value::as_array).map_or(0, Vec::len);
    if problems > 0 {
        let what = format!("the controller has {problems} problems to tell");
        found.push(Finding::warn("controller", what, "setpoint controller status"));
    }
    found
}

/// Services have the PATH of their controller, which may be older than the one of this shell.
fn path_of(pid: u32) -> Option<Finding> {
    let environ = ProcTable.environ(pid)?;
    let its = environ.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"PATH="));
    let its = String::from_utf8_lossy(its.unwrap_or_default()).into_owned();
    let ours = std::env::var("PATH").unwrap_or_default();
    let lacks: Vec<&str> = ours.split(':').filter(|folder| !its.split(':').any(|its| its == *folder)).collect();
    let what = format!("services have the PATH of the controller, which lacks {}", lacks.join(", "));
    (!lacks.is_empty()).then(|| Finding::note("path", what, "if they need it: setpoint controller restart"))
}

fn absent(home: &Home) -> Vec<Finding> {
    let left: Vec<String> = [home.controller_pid(), home.root().join("controller.sock")]
        .iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    let mut found = vec![Finding::note(
        "controller",
        "no controller runs; services are not supervised",
        "setpoint controller start",
    )];
    if !left.is_empty() {
        let what = format!("a controller that was killed has left {}", left.join(" and "));
        found.push(Finding::note("stale", what, "nothing; the next controller replaces them"));
    }
    found
}

/// Whether anything starts the controller with the machine.
fn boot(global: &Global) -> Finding {
    let program = |pid| machine::program(pid).map(|(path, _)| path);
    if program(1).is_some_and(|first| Some(first) == program(std::process::id())) {
        return Finding::ok("boot", "the controller comes up with the container");
    }
    let system = unit::System::here();
    match install::unit_of(global, &[]) {
        Ok(unit) if unit.file(system).exists() => {
            Finding::ok("boot", format!("{} has the system start the controller", unit.file(system).display()))
        }
        Ok(_) => {
            let what = "nothing starts the controller when the machine restarts";
            Finding::note("boot", what, "setpoint controller install")
        }
        Err(error) => Finding::error("boot", &error),
    }
}

fn linger(global: &Global) -> Option<Finding> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root || !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let user = crate::desired::principal();
    if Path::new("/var/lib/systemd/linger").join(&user).exists() {
        return Some(Finding::ok("linger", "what runs outlasts your logins"));
    }
    let is_installed = install::unit_of(global, &[]).is_ok_and(|unit| unit.file(unit::System::Systemd).exists());
    let fix = install::linger_line(&user);
    Some(match is_installed {
        true => Finding::warn("linger", "the controller and all services end when you log out", fix),
        false => Finding::note("linger", "the system may end what you left running when you log out", fix),
    })
}
