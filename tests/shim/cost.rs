//! What a shim costs while nothing happens.

use std::time::Duration;

use rustix::process::Signal;
use setpoint::record::launch::Stdin;

use crate::support::{Home, comm, proc_number, send, until};

#[test]
fn an_idle_shim_never_wakes() {
    let home = Home::new();
    // A burst, so that there is something to wind down, then nothing.
    let (shim, _) = home.line("seq 20000; printf 'half a line'; exec sleep 1000").up();
    home.wait_for_line("stdout P half a line");
    let woken = || proc_number(shim.pid, "status", "voluntary_ctxt_switches");
    // The wind-down is one timer of a second; after it, the count must stand still.
    let mut last = woken();
    until("it has wound down", || {
        std::thread::sleep(Duration::from_millis(1200));
        std::mem::replace(&mut last, woken()) == last
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(woken(), last);
}

#[test]
fn twenty_shims_are_small() {
    let homes: Vec<Home> = (0..20).map(|_| Home::new()).collect();
    let shims: Vec<u32> = homes.iter().map(|home| home.start(&["sleep", "1000"]).up().0.pid).collect();
    let total: u64 = shims
        .iter()
        .map(|pid| {
            until("it is ready", || comm(*pid) == "sp-ready");
            proc_number(*pid, "smaps_rollup", "Private_Dirty")
        })
        .sum();
    let mean = total / 20;
    println!("private dirty memory of a shim: {mean} kB");
    assert!(mean < 250, "{mean} kB of private memory a shim");
}

#[test]
fn a_terminal_costs_what_it_keeps() {
    let homes: Vec<Home> = (0..10).map(|_| Home::new()).collect();
    let cost = |stdin: Stdin| {
        let up = |home: &Home, attempt: u32| {
            // More than is kept, and then nothing.
            let mut start = home.line("seq 20000; echo done; exec sleep 1000");
            (start.stdin, start.attempt, start.notify) = (stdin, attempt, stdin == Stdin::Tty);
            start.up().0.pid
        };
        let attempt = if stdin == Stdin::Tty { 1 } else { 2 };
        let shims: Vec<u32> = homes.iter().map(|home| up(home, attempt)).collect();
        homes.iter().for_each(|home| home.wait_for_line("stdout F done"));
        let settled = |pid: &u32| {
            let now = || proc_number(*pid, "smaps_rollup", "Private_Dirty");
            let mut last = now();
            until("it has given memory back", || {
                std::thread::sleep(Duration::from_millis(1200));
                std::mem::replace(&mut last, now()) == last
            });
            last
        };
        let total: u64 = shims.iter().map(settled).sum();
        for pid in &shims {
            send(*pid, Signal::TERM);
        }
        homes.iter().for_each(|home| drop(home.end(attempt)));
        total / 10
    };
    let (with, without) = (cost(Stdin::Tty), cost(Stdin::Null));
    println!("private dirty memory of a shim: {with} kB with a terminal and a notify socket, {without} kB without");
    // The last 32 KiB of output, a socket, and the pages they lie in.
    assert!(with < without + 100, "{with} kB with a terminal, {without} kB without");
}

#[test]
fn the_binary_is_linked_at_fixed_addresses() {
    let header = std::fs::read(env!("CARGO_BIN_EXE_setpoint")).expect("the binary");
    // e_type of the ELF header: 2 is EXEC, 3 is DYN.
    assert_eq!(header.get(..4), Some(&b"\x7fELF"[..]));
    assert_eq!(header.get(16..18), Some(&[2, 0][..]));
}
