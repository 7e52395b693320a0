//! What a shim costs while nothing happens.

use std::time::Duration;

use crate::support::{Home, comm, proc_number, until};

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
fn the_binary_is_linked_at_fixed_addresses() {
    let header = std::fs::read(env!("CARGO_BIN_EXE_setpoint")).expect("the binary");
    // e_type of the ELF header: 2 is EXEC, 3 is DYN.
    assert_eq!(header.get(..4), Some(&b"\x7fELF"[..]));
    assert_eq!(header.get(16..18), Some(&[2, 0][..]));
}
