//! What a test needs to know of the machine, and what it says where that is not enough.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::world::World;

/// Says why a test does less than it would elsewhere. False, for the place where it was to begin.
pub fn skipped(why: &str) -> bool {
    println!("skipped: {why}");
    false
}

/// True for the one user who may mount things and become somebody else.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A shell of another user.
pub fn shell_of(uid: u32) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups", "/bin/sh"]);
    command
}

/// How many shims of an instance live in a world.
pub fn shims(world: &World, name: &str) -> usize {
    let instance = format!("service/{name}");
    let comm = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let is_one = |pid: u32, of: Option<&String>| of == Some(&instance) && comm(pid).starts_with("sp-");
    world.processes().iter().filter(|process| is_one(process.id.pid, process.instance.as_ref())).count()
}

/// Sets the permission bits of a file or folder.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}
