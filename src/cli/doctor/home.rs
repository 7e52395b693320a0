//! What of the home stands in the way.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Finding;
use crate::cli::Global;
use crate::cli::top::bytes;
use crate::desired::Store;
use crate::home::{self, Home};
use crate::observe::machine::{self, Disk};
use crate::store::reader::{Reader, Survey};

/// Less than this, and records may not be written any more.
const FREE_MIN: u64 = 1 << 20;
/// Less than this is little, unless it is a twentieth of the disk.
const FREE_LITTLE: u64 = 1 << 30;
/// How many files have to be left.
const FILES_MIN: u64 = 1000;

/// Looks at the home; none when there is none or it cannot be used.
pub fn look(global: &Global) -> (Vec<Finding>, Option<Home>) {
    let place = match home::place(global.home.as_deref()) {
        Ok(place) => place,
        Err(error) => return (vec![Finding::error("home", &error)], None),
    };
    let home = match Home::open_existing(Some(&place)) {
        Ok(Some(home)) => home,
        Ok(None) => return (vec![nowhere(&place)], None),
        Err(error) => return (vec![Finding::error("home", &error)], None),
    };
    let mut found = vec![Finding::ok("home", format!("{} is private and on a local disk", home.root().display()))];
    found.extend(["id", "key"].into_iter().filter_map(|file| secret(&home.root().join(file))));
    found.push(match machine::disk(home.root()) {
        Ok(disk) => room(home.root(), &disk),
        Err(error) => {
            Finding::fail("disk", format!("its disk cannot be looked at: {error}"), "check that it is mounted")
        }
    });
    found.push(store(&home));
    found.push(match Store::open(&home).read_current() {
        Ok(stored) => {
            let what = format!("generation {} holds {} objects", stored.generation, stored.objects.len());
            Finding::ok("desired", what)
        }
        Err(error) => Finding::error("desired", &error),
    });
    (found, Some(home))
}

/// There is none yet; whether one can be made.
fn nowhere(place: &Path) -> Finding {
    let above = place.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let may = rustix::fs::access(above, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    match may {
        Ok(()) => {
            let what = format!("there is no home {} yet; the first apply makes it", place.display());
            Finding::note("home", what, "setpoint init, then setpoint apply -f manifests/")
        }
        Err(error) => Finding::fail(
            "home",
            format!("the home {} cannot be made in {}: {error}", place.display(), above.display()),
            "give another with --home DIR",
        ),
    }
}

fn secret(path: &Path) -> Option<Finding> {
    let mode = path.metadata().ok()?.mode() & 0o7777;
    let fix = format!("chmod 600 {}", path.display());
    (mode & 0o077 != 0)
        .then(|| Finding::warn("home", format!("{} is open to other users (mode {mode:04o})", path.display()), fix))
}

/// What is remembered of runs: whole, and able to take more?
fn store(home: &Home) -> Finding {
    let path = home.store_db();
    let surveyed = Reader::open(&path).and_then(|reader| reader.survey());
    let Survey { schema, bytes: size, runs, ticks, events } = match surveyed {
        Ok(Some(survey)) => survey,
        Ok(None) => return Finding::ok("store", "there is no store yet; the first run makes it"),
        Err(trouble) => return Finding::error("store", &trouble),
    };
    let whole =
        format!("store.db is whole: schema {schema}, {}, {runs} runs, {ticks} due times, {events} events", bytes(size));
    let shut = |why: &str, fix: String| {
        Finding::fail("store", format!("{whole}; but {why}, so no run can be written down and none begins"), fix)
    };
    let may = |at: &Path| rustix::fs::access(at, rustix::fs::Access::WRITE_OK);
    match (machine::disk(home.root()), may(&path).and(may(home.root()))) {
        (_, Err(error)) => shut(
            &format!("it may not be written ({error})"),
            format!("make {} writable: chmod u+w, or mount its disk writable", path.display()),
        ),
        (Ok(Disk { free: ..FREE_MIN, .. }), Ok(())) => {
            shut("its disk is full", format!("make room on the disk of {}", home.root().display()))
        }
        (Ok(_) | Err(_), Ok(())) => Finding::ok("store", whole),
    }
}

fn room(root: &Path, disk: &Disk) -> Finding {
    let fix = format!("make room, or move the home: du -xh {} | sort -h | tail", root.display());
    let free = format!("{} of {} are free for the home", bytes(disk.free), bytes(disk.size));
    let is_little = disk.free < FREE_LITTLE && disk.free < disk.size / 20;
    match disk {
        Disk { is_read_only: true, .. } => {
            let what = format!("the disk of {} is read-only, so nothing can be started", root.display());
            Finding::fail("disk", what, "mount it writable, or give another home with --home DIR")
        }
        Disk { free: ..FREE_MIN, .. } => Finding::fail("disk", format!("the disk is full: {free}"), fix),
        Disk { files_free: Some(0), .. } => Finding::fail("disk", "no more files can be made for the home", fix),
        Disk { files_free: Some(left @ ..FILES_MIN), .. } => {
            Finding::warn("disk", format!("only {left} more files can be made for the home"), fix)
        }
        _ if is_little => Finding::warn("disk", format!("the disk is nearly full: {free}"), fix),
        Disk { is_memory: true, .. } => Finding::note(
            "disk",
            format!("{} lies in memory: what is desired is forgotten when the machine restarts", root.display()),
            "give a home on a disk with --home DIR, unless that is meant",
        ),
        _ => Finding::ok("disk", free),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn room_is_judged() {
        let plain =
            Disk { free: 50 << 30, size: 100 << 30, files_free: Some(1 << 20), is_read_only: false, is_memory: false };
        for (disk, level) in [
            (plain, Level::Ok),
            (Disk { files_free: None, ..plain }, Level::Ok),
            (Disk { free: 2 << 30, ..plain }, Level::Ok),
            (Disk { free: 900 << 20, ..plain }, Level::Warn),
            (Disk { free: 10 << 20, size: 64 << 20, ..plain }, Level::Ok),
            (Disk { free: (1 << 20) - 1, ..plain }, Level::Fail),
            (Disk { free: 0, size: 0, ..plain }, Level::Fail),
            (Disk { files_free: Some(0), ..plain }, Level::Fail),
            (Disk { files_free: Some(999), ..plain }, Level::Warn),
            (Disk { is_read_only: true, ..plain }, Level::Fail),
            (Disk { is_memory: true, ..plain }, Level::Note),
        ] {
            assert_eq!(room(Path::new("/x"), &disk).level, level, "{disk:?}");
        }
    }
}
