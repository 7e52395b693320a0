//! Two readers of one process table agree: the one for Linux and the portable one.

use std::collections::BTreeSet;
use std::process::{Child, Command};

use rustix::process::{Signal, WaitIdOptions, waitid};
use setpoint::engine::Coverage;
use setpoint::observe::portable::PortableTable;
use setpoint::observe::table::{Process, ProcessState};
use setpoint::observe::{ProcTable, Table};

/// The parent of all threads of the kernel.
const KTHREADD: u32 = 2;

fn child(program: &str, argument: &str) -> Child {
    Command::new(program).arg(argument).env("SETPOINT_TEST", "seen").spawn().expect(program)
}

/// What both readers say in the same words; start times have other units.
fn common(process: &Process) -> (u32, u32, u32, &str, ProcessState) {
    (process.pid, process.parent, process.session, &process.name, process.state)
}

#[test]
fn both_tables_tell_the_same_of_the_real_machine() {
    let mut zombie = child("true", "");
    let mut stopped = child("sleep", "100000");
    let mut alive = child("sleep", "100001");
    let stopped_id = crate::processes::id(stopped.id());
    assert!(crate::processes::send(stopped_id, Signal::STOP));
    let pid = |child: &Child| rustix::process::Pid::from_child(child);
    // Waits without reaping: the zombie stays one.
    waitid(rustix::process::WaitId::Pid(pid(&zombie)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .expect("a zombie");
    waitid(rustix::process::WaitId::Pid(pid(&stopped)), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT)
        .expect("stopped");

    let before = ProcTable.list(&|_| false);
    let portable = PortableTable.list(&|_| false);
    let after = ProcTable.list(&|_| false);
    assert_eq!((&before.coverage, &portable.coverage), (&Coverage::Whole, &Coverage::Whole));
    let is_steady =
        |pid: &u32| before.processes.get(pid).map(|p| p.started) == after.processes.get(pid).map(|p| p.started);
    let steady: BTreeSet<u32> = before.processes.keys().copied().filter(is_steady).collect();
    let listed: BTreeSet<u32> = portable.processes.keys().copied().collect();
    let missed: Vec<u32> = steady.difference(&listed).copied().collect();
    assert!(missed.is_empty(), "not in the portable table: {missed:?}");
    let invented: Vec<u32> = listed
        .iter()
        .copied()
        .filter(|pid| !before.processes.contains_key(pid) && !after.processes.contains_key(pid))
        .filter(|pid| crate::processes::Process::of(*pid).is_some())
        .collect();
    assert!(invented.is_empty(), "only in the portable table: {invented:?}");

    for (child, name, state) in [
        (&zombie, "true", ProcessState::Zombie),
        (&stopped, "sleep", ProcessState::Stopped),
        (&alive, "sleep", ProcessState::Alive),
    ] {
        let (linux, portable) = (&before.processes[&child.id()], &portable.processes[&child.id()]);
        assert_eq!(common(linux), common(portable));
        assert_eq!((linux.parent, &*linux.name, linux.state), (std::process::id(), name, state));
        assert_eq!(ProcTable.process(child.id()).map(|p| p.state), Some(state));
        assert_eq!(PortableTable.process(child.id()).map(|p| p.state), Some(state));
    }
    // Names, parents and sessions of everybody else; what is being done changes all the time.
    let differing: Vec<_> = steady
        .iter()
        .map(|pid| (&before.processes[pid], &portable.processes[pid], &after.processes[pid]))
        .filter(|(before, _, after)| common(before) == common(after))
        // Workers of the kernel are named anew for each piece of work.
        .filter(|(before, ..)| before.parent != KTHREADD)
        .filter(|(before, portable, _)| {
            (before.parent, before.session, &before.name) != (portable.parent, portable.session, &portable.name)
        })
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(ProcTable.argv(alive.id()).as_deref(), Some(&b"sleep\x00100001\x00"[..]));
    assert_eq!(PortableTable.argv(alive.id()), ProcTable.argv(alive.id()));
    let has_mark = |table: &dyn Table| {
        let environ = table.environ(alive.id()).expect("an environment of ours");
        environ.split(|byte| *byte == 0).any(|entry| entry == b"SETPOINT_TEST=seen")
    };
    assert!(has_mark(&ProcTable) && has_mark(&PortableTable));
    for child in [&mut stopped, &mut alive, &mut zombie] {
        // The zombie has ended already.
        _ = child.kill();
        child.wait().expect("its end");
    }
    assert!(ProcTable.process(alive.id()).is_none_or(|p| p.parent != std::process::id()));
}
