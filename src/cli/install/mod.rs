//! `setpoint controller install`: has the system start the controller, at login or with the machine.
//!
//! In: a home and its live folders. Out: a unit or agent, started. Not here: its text ([`mod@unit`]).
//! The surprise: a controller that runs already is replaced by the system's own, and services run on. When the system
//! has no such program, or that fails, the file is written all the same, and the line to type instead is printed.

pub mod unit;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::unit::{System, Unit};
use super::{Failure, Global, Outcome, controller, exit};
use crate::home::{self, Home};

/// What to install.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Keep this folder applied, at every change of a file [default: those the running controller follows]
    #[arg(short = 'f', long = "filename", value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Print the file and do nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    target: Target,
}

/// For whom.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Target {
    /// Who is to start it [default: whoever does on this system]
    #[arg(long, value_enum)]
    format: Option<System>,
}

/// Writes the file and has the system start the controller, now and from now on.
///
/// # Errors
/// When the file cannot be written, or the system does not do its part.
pub fn install(global: &Global, args: &Args) -> Outcome {
    let system = args.target.format.unwrap_or_else(System::here);
    let given = controller::folders(&args.folders)?;
    let folders = if given.is_empty() { followed(global) } else { given };
    let unit = unit_of(global, &folders)?;
    if args.print {
        return super::print(&unit.text(system)).map(|()| exit::OK);
    }
    let file = unit.file(system);
    // A home that cannot be used is said here, not in a log that nobody reads.
    let home = Home::open(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let calls = Calls::of(system, &unit, &file);
    if file.exists() {
        // What is not loaded cannot be unloaded; that is no failure.
        _ = call(&calls.unload);
    }
    write(&file, &unit.text(system)).map_err(|error| unwritten(&file, &unit, &error))?;
    if let Some(reread) = &calls.reread {
        call(reread).map_err(|why| by_hand(&file, &unit, &why))?;
    }
    let was_running = crate::cli::end::end(&home)?;
    if let Err(why) = call(&calls.load) {
        if was_running {
            controller::ensure(&home, &folders, global.verbose)?;
        }
        return Err(by_hand(&file, &unit, &why));
    }
    super::say(global, &format!("wrote {}; the controller runs, now and {}", file.display(), when(system, &unit)));
    if system == System::Systemd && !unit.is_root {
        advise_linger(global);
    }
    if ["/target/debug/", "/target/release/"].iter().any(|folder| unit.program.contains(folder)) {
        let text = "note: it starts a binary in a build folder, which the next build replaces or removes; better:\n  \
                    cargo install --path . && setpoint controller install";
        super::say(global, text);
    }
    Ok(exit::OK)
}

/// Takes the file away, and ends the controller it started; services run on.
///
/// # Errors
/// When the file cannot be removed, or the system does not do its part.
pub fn uninstall(global: &Global, target: Target) -> Outcome {
    let system = target.format.unwrap_or_else(System::here);
    let unit = unit_of(global, &[])?;
    let file = unit.file(system);
    if !file.exists() {
        super::say(global, &format!("nothing is installed: there is no {}", file.display()));
        return Ok(exit::OK);
    }
    let calls = Calls::of(system, &unit, &file);
    let unloaded = call(&calls.forget);
    std::fs::remove_file(&file).map_err(|error| {
        let text = format!("{} cannot be removed: {error}\n  help: remove it by hand", file.display());
        Failure::new(exit::FAILED, text)
    })?;
    let reread = calls.reread.as_ref().map_or(Ok(()), call);
    match unloaded.and(reread) {
        Ok(()) => {
            super::say(global, &format!("removed {}; the controller is stopped, services run on", file.display()));
            Ok(exit::OK)
        }
        Err(why) => {
            let text = format!(
                "{} is removed, but {why}\n  help: if its controller still runs, end it by hand: setpoint controller stop",
                file.display()
            );
            Err(Failure::new(exit::FAILED, text))
        }
    }
}

/// The unit of this home.
///
/// # Errors
/// When nobody knows where the home or the file would be.
pub fn unit_of(global: &Global, folders: &[PathBuf]) -> Result<Unit, Failure> {
    let place = home::place(global.home.as_deref()).map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    Unit::new(&place, folders)
}

/// What the running controller follows, if one runs and answers.
fn followed(global: &Global) -> Vec<PathBuf> {
    match Home::open_existing(global.home.as_deref()) {
        Ok(Some(_)) => controller::live_folders(global).unwrap_or_default(),
        Ok(None) | Err(_) => Vec::new(),
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).and_then(|()| {
        let draft = file.with_extension("draft");
        std::fs::write(&draft, text).and_then(|()| std::fs::rename(&draft, file))
    })
}

fn unwritten(file: &Path, unit: &Unit, error: &std::io::Error) -> Failure {
    let text = format!(
        "{} cannot be written: {error}\n  help: setpoint controller install --print prints the text of it; until then \
         start it by hand: {}",
        file.display(),
        unit.by_hand()
    );
    Failure::new(exit::FAILED, text)
}

fn by_hand(file: &Path, unit: &Unit, why: &str) -> Failure {
    let text = format!("{} is written, but {why}\n  help: start it by hand: {}", file.display(), unit.by_hand());
    Failure::new(exit::FAILED, text)
}

fn when(system: System, unit: &Unit) -> &'static str {
    match (system, unit.is_root) {
        (_, true) => "whenever the machine starts",
        (System::Systemd | System::Launchd, false) => "whenever you log in",
    }
}

fn advise_linger(global: &Global) {
    let user = crate::desired::principal();
    if !Path::new("/var/lib/systemd/linger").join(&user).exists() {
        let text = format!(
            "note: it ends when you log out, with all services; to keep it, and to start it with the machine:\n  {}",
            linger_line(&user)
        );
        super::say(global, &text);
    }
}

/// The line that lets a user's programs outlive their logins. One without a name is who calls.
pub fn linger_line(user: &str) -> String {
    let name = if user.contains(' ') { String::new() } else { format!(" {user}") };
    format!("loginctl enable-linger{name}")
}

/// What the system is asked, as command lines.
struct Calls {
    unload: Vec<String>,
    forget: Vec<String>,
    reread: Option<Vec<String>>,
    load: Vec<String>,
}

impl Calls {
    fn of(system: System, unit: &Unit, file: &Path) -> Calls {
        let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let name = unit.name(system);
        match system {
            System::Systemd => {
                let ctl = |words: &[&str]| {
                    let user = if unit.is_root { None } else { Some("--user") };
                    line(&[&["systemctl"], user.as_slice(), words].concat())
                };
                Calls {
                    unload: ctl(&["stop", &name]),
                    forget: ctl(&["disable", "--now", &name]),
                    reread: Some(ctl(&["daemon-reload"])),
                    load: ctl(&["enable", "--now", &name]),
                }
            }
            System::Launchd => {
                let uid = rustix::process::geteuid().as_raw();
                let domain = if unit.is_root { "system".to_owned() } else { format!("gui/{uid}") };
                let bootout = line(&["launchctl", "bootout", &format!("{domain}/{name}")]);
                let load = line(&["launchctl", "bootstrap", &domain, &file.display().to_string()]);
                Calls { unload: bootout.clone(), forget: bootout, reread: None, load }
            }
        }
    }
}

/// Runs a program of the system to its end.
fn call(line: &Vec<String>) -> Result<(), String> {
    let [program, words @ ..] = line.as_slice() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    // Missing after `su` and in some SSH sessions, where the bus is there all the same.
    let runtime = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    let said = |why: &str| format!("`{}` {why}", line.join(" "));
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.lines().find(|line| !line.trim().is_empty()).map_or(String::new(), |l| format!(": {l}"));
            Err(said(&format!("failed ({}){}", output.status, super::plain(&words))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!("there is no `{program}` on PATH")),
        Err(error) => Err(said(&format!("cannot be run: {error}"))),
    }
}
