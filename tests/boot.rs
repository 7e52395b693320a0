//! How setpoint comes up with a machine: as process 1 of a container, as a unit of the system, and what `doctor` and
//! `top` see there.
//!
//! In: the real binary in worlds of each test's own. Out: what runs, what is written, what is said. What a machine does
//! not allow, such as a pid namespace, is printed as `skipped: …` and passes.

#[path = "boot/container.rs"]
mod container;
#[path = "boot/doctor.rs"]
mod doctor;
#[path = "boot/first.rs"]
mod first;
#[path = "boot/install.rs"]
mod install;
#[path = "hostile/processes.rs"]
mod processes;
#[path = "boot/systemd.rs"]
mod systemd;
#[path = "boot/top.rs"]
mod top;
#[allow(dead_code, reason = "most of what happens here is seen from outside")]
#[path = "hostile/world.rs"]
mod world;
