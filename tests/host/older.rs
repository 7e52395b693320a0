//! An older build of this program, compiled from the history of this repository.
//!
//! In: nothing. Out: a binary, kept in the target folder for the next time. Not here: what it is used for.
//! The surprise: the commit is found by its subject, since a hash may change when history is carried elsewhere; and
//! dependencies that have not changed since are taken from the present build by hard links.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::world::{Said, World, said};

/// The last commit before probes, needs, adoption and limits: its shims know none of them.
const SUBJECT: &str = "benches: restart and bring-up on the machine alone, memory after it is given back";

/// One at a time builds, the others find it built.
static BUILDING: Mutex<()> = Mutex::new(());

/// The binary.
pub struct Older(PathBuf);

impl Older {
    /// Builds it, unless that was done before; none where there is no history.
    pub fn build() -> Option<Older> {
        let _one_at_a_time = BUILDING.lock();
        let Some(commit) = commit() else {
            println!("skipped: there is no history here to build an older version from");
            return None;
        };
        let present = Path::new(env!("CARGO_BIN_EXE_setpoint")).parent().expect("a folder");
        let folder = present.with_file_name("upgrade").join(commit.get(..12).expect("a hash"));
        let binary = folder.join("setpoint");
        if !binary.exists() {
            compile(&commit, present, &folder, &binary);
        }
        Some(Older(binary))
    }

    /// Runs a verb of it.
    pub fn run(&self, world: &World, words: &[&str]) -> Said {
        let like = world.command(words);
        let mut command = Command::new(&self.0);
        command.args(words).current_dir(world.root()).stdin(Stdio::null());
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        said(command.output().expect("the older binary"))
    }

    /// Runs a verb of it that must succeed; what it printed.
    #[track_caller]
    pub fn ok(&self, world: &World, words: &[&str]) -> String {
        let said = self.run(world, words);
        assert_eq!(said.code, 0, "older setpoint {}\n{}{}\n{}", words.join(" "), said.out, said.err, world.story());
        said.out
    }
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn commit() -> Option<String> {
    let found = git(&["log", "-1", "--format=%H", "--fixed-strings", "--grep", SUBJECT])?;
    (!found.is_empty()).then_some(found)
}

fn compile(commit: &str, present: &Path, folder: &Path, binary: &Path) {
    let (source, build) = (folder.join("source"), folder.join("build"));
    // What an interrupted build left would be half of one.
    _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(&source).expect("a folder for the sources");
    std::fs::create_dir_all(build.join("debug")).expect("a folder for the build");
    let archive = folder.join("source.tar");
    git(&["archive", "--output", archive.to_str().expect("UTF-8"), commit]).expect("the sources");
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&source));
    ["deps", "build", ".fingerprint"]
        .iter()
        .for_each(|part| link(&present.join(part), &build.join("debug").join(part)));
    // Other tests run meanwhile, and go by the clock.
    let mut cargo = Command::new("nice");
    cargo.args(["-n", "19"]).arg(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(["build", "--locked", "--bin", "setpoint"]).current_dir(&source).env("CARGO_TARGET_DIR", &build);
    run(&mut cargo);
    let fresh = folder.join("setpoint.new");
    std::fs::copy(build.join("debug/setpoint"), &fresh).expect("the binary");
    std::fs::rename(&fresh, binary).expect("its place");
    _ = std::fs::remove_dir_all(&build);
    _ = std::fs::remove_dir_all(&source);
    _ = std::fs::remove_file(&archive);
}

/// Links what belongs to dependencies. What belongs to this program has the same names in both builds, and is written in
/// place, so a link would let one build spoil the other.
fn link(from: &Path, to: &Path) {
    // Where the target folder is laid out otherwise, everything is compiled.
    let Ok(entries) = std::fs::read_dir(from) else { return };
    _ = std::fs::create_dir_all(to);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let (path, target) = (entry.path(), to.join(&name));
        let name = name.to_string_lossy();
        if name.starts_with("setpoint") || name.starts_with("libsetpoint") {
            continue;
        }
        match path.is_dir() {
            true => link(&path, &target),
            false => _ = std::fs::hard_link(&path, &target),
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
