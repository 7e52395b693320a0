//! File systems of a test's own.
//!
//! In: what to mount, and where. Out: a mount that ends with its scope. Not here: what happens on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::skipped;
use crate::world::{World, said};

/// A mount; taken away when it goes out of scope, whoever still uses it.
pub struct Mount {
    at: PathBuf,
}

impl Mount {
    /// Mounts by these words of mount(8). None, with the reason printed, where that is refused.
    pub fn new(words: &[&str], at: &Path) -> Option<Mount> {
        mount(words, at).then(|| Mount { at: at.to_owned() })
    }

    /// The same mount by other rules. False, with the reason printed, where that is refused.
    pub fn again(&self, options: &str) -> bool {
        mount(&["-o", &format!("remount,{options}")], &self.at)
    }

    /// A small disk in the memory, with a world that has its home on it.
    pub fn small(mib: u32) -> Option<(World, Mount)> {
        let world = World::with_home("disk/home");
        std::fs::create_dir(world.root().join("disk")).expect("a folder");
        let size = format!("size={mib}m,mode=700");
        let mount = Mount::new(&["-t", "tmpfs", "-o", &size, "tmpfs"], &world.root().join("disk"))?;
        Some((world, mount))
    }
}

fn mount(words: &[&str], at: &Path) -> bool {
    match said(Command::new("mount").args(words).arg(at).output()) {
        Ok(said) if said.code == 0 => true,
        Ok(said) => skipped(&format!("cannot mount: {}", said.err.trim())),
        Err(error) => skipped(&format!("cannot mount: {error}")),
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // One that is gone already is gone.
        _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
