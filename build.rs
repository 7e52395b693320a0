//! Links the binary at fixed addresses.
//!
//! A shim lives as long as its service, and a position-independent executable of this size writes over a megabyte of
//! relocations into private memory before it does anything. The price is no address randomisation for the executable
//! itself; heap, stack and libraries keep theirs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
