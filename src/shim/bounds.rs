//! Takes on the limits and the identity of a payload, in the child that will become it.
//!
//! In: the bounds of a launch spec. Out: a process that is held to them, or what could not be set and why.
//! Not here: looking up names, and what a limit means where it cannot be set (`execute`).
//! The surprise: the order is everything. What needs privileges comes first, then they are given up for good.

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Resource as Kernel, Rlimit};

use super::cgroup;
use super::payload::Refusal;
use crate::record::answer::Stage;
use crate::record::bounds::{Bounds, Identity, Resource};

/// Takes on everything.
///
/// # Errors
/// The first thing that could not be set.
pub fn take_on(bounds: &Bounds<'_>) -> Result<(), Refusal> {
    if let Some(why) = bounds.refusal {
        return Err(Refusal { stage: Stage::Refused, errno: 0, about: why.to_owned() });
    }
    if let Some(group) = &bounds.group {
        cgroup::enter(group).map_err(|(about, errno)| refused(Stage::Limits, about, errno))?;
    }
    // Before the limit on open files, which may leave no room for this one.
    if let Some(score) = bounds.oom_score {
        adjust_oom(score).map_err(|errno| refused(Stage::Limits, format!("oomScore {score}"), errno))?;
    }
    if let Some(nice) = bounds.nice {
        let set = rustix::process::setpriority_process(None, nice);
        set.map_err(|errno| refused(Stage::Limits, format!("nice {nice}"), errno))?;
    }
    for (resource, limit) in &bounds.rlimits {
        let both = Rlimit { current: Some(*limit), maximum: Some(*limit) };
        let set = rustix::process::setrlimit(kernel(*resource), both);
        set.map_err(|errno| refused(Stage::Limits, format!("{resource} {limit}"), errno))?;
    }
    if let Some(identity) = &bounds.identity {
        become_user(identity)?;
    }
    if let Some(umask) = bounds.umask {
        rustix::process::umask(Mode::from_raw_mode(umask));
    }
    Ok(())
}

fn refused(stage: Stage, about: String, errno: Errno) -> Refusal {
    Refusal { stage, errno: errno.raw_os_error(), about }
}

fn adjust_oom(score: i32) -> Result<(), Errno> {
    let file = rustix::fs::openat(CWD, c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, score.to_string().as_bytes()).map(|_| ())
}

const fn kernel(resource: Resource) -> Kernel {
    match resource {
        Resource::Files => Kernel::Nofile,
        Resource::Processes => Kernel::Nproc,
        Resource::FileSize => Kernel::Fsize,
        Resource::Core => Kernel::Core,
        Resource::Stack => Kernel::Stack,
    }
}

/// Real, effective and saved, so that there is no way back; this process has one thread, so it is all of it.
fn become_user(identity: &Identity) -> Result<(), Refusal> {
    let Identity { uid, gid, groups } = identity;
    let all: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let named = |what: &'static str, number: &u32| {
        let about = format!("{what}{number}");
        move |errno| refused(Stage::User, about, errno)
    };
    rustix::thread::set_thread_groups(&all).map_err(named("groups of ", uid))?;
    let group = Gid::from_raw(*gid);
    rustix::thread::set_thread_res_gid(group, group, group).map_err(named("group ", gid))?;
    let user = Uid::from_raw(*uid);
    rustix::thread::set_thread_res_uid(user, user, user).map_err(named("", uid))
}
