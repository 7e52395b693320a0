//! The floor: what the kernel itself takes for the same work, with nothing in between.
//!
//! In: a lab. Out: milliseconds of bare cycles. Not here: supervision of any kind.
//! The surprise: the floor is measured in the same minutes as the peers, since a neighbour on the machine slows both.

use std::io;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{PidfdFlags, Signal, pidfd_send_signal};

use crate::lab::{Lab, await_ends, nanos, pidfd};
use crate::settle;

fn spawn(lab: &Lab, id: &str) -> io::Result<Child> {
    Command::new(&lab.payload).arg("svc").arg(lab.path("fifo")).arg(id).spawn()
}

/// SIGKILL, pidfd readable, reap, spawn, `main` of the replacement: `count` times, in milliseconds.
pub fn cycles(lab: &mut Lab, count: usize) -> io::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    let id = ["floor".to_owned()];
    let mut child = spawn(lab, &id[0])?;
    for _ in 0..count {
        lab.await_starts(&id, times.len(), Duration::from_secs(10))?;
        settle(0.02);
        let pid = rustix::process::Pid::from_child(&child);
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let killed = nanos();
        pidfd_send_signal(&fd, Signal::KILL)?;
        await_ends(vec![fd], Duration::from_secs(10));
        child.wait()?;
        child = spawn(lab, &id[0])?;
        let at = lab.await_starts(&id, times.len() + 1, Duration::from_secs(10))?;
        times.push(at.saturating_sub(killed) as f64 / 1e6);
    }
    child.kill()?;
    child.wait()?;
    Ok(times)
}

/// Spawn to `main`, `count` times, in milliseconds.
pub fn spawns(lab: &mut Lab, count: usize) -> io::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        let id = [format!("spawn{number}")];
        let begun = nanos();
        let mut child = spawn(lab, &id[0])?;
        let at = lab.await_starts(&id, 0, Duration::from_secs(10));
        child.kill()?;
        child.wait()?;
        times.push(at?.saturating_sub(begun) as f64 / 1e6);
        settle(0.005);
    }
    Ok(times)
}

/// TERM to `count` bare payloads at once, until the last is gone, in seconds.
pub fn stop(lab: &mut Lab, count: usize) -> io::Result<f64> {
    let mut children: Vec<Child> = (0..count).map(|n| spawn(lab, &format!("s{n}"))).collect::<io::Result<_>>()?;
    let ids: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
    lab.await_starts(&ids, 0, Duration::from_secs(30))?;
    let fds: Vec<_> = children.iter().filter_map(|child| pidfd(child.id())).collect();
    let begun = nanos();
    for fd in &fds {
        pidfd_send_signal(fd, Signal::TERM)?;
    }
    let (last, _) = await_ends(fds, Duration::from_secs(30));
    for child in &mut children {
        child.kill()?;
        child.wait()?;
    }
    Ok(last.saturating_sub(begun) as f64 / 1e9)
}
