//! Row 11 by itself: what one process does with many objects, without peers and without supervised processes.
//!
//! In: nothing. Out: one table in markdown. Not here: everything with processes (`benches/peers.rs`).
//! The surprise: loading is measured through `setpoint validate`, the whole of what a user waits for.

#[path = "peers/inside.rs"]
mod inside;
#[path = "peers/table.rs"]
#[allow(dead_code, reason = "the table is shared with the bench that has peers")]
mod table;

fn main() {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("error: no folder for the manifests: {error}; is TMPDIR writable?");
            return;
        }
    };
    let mut table = table::Table::default();
    inside::measure(&mut table, folder.path());
    println!("{}", table.print());
}
