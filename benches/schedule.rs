//! Row 8: from the due instant to the first line of `main()`, beside Debian's cron.
//!
//! In: `--minutes N`; cron from PATH, as root, since it insists on folders of the system, which it is given copies of in a
//! mount namespace of its own. Out: one table in markdown. Not here: what is due when (`tests/schedule.rs`).
//! The surprise: the payload is this program itself, which appends the time to a file; so the cost of its own start is in
//! the figures of both sides.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long both are watched. Cron knows nothing finer than a minute.
const MINUTES: u64 = 5;
/// What is mounted for cron: a crontab, and folders that are empty. `$1` is where they are, `$2` is cron.
const CRON: &str = "mount -t tmpfs tmpfs /run && mount --bind $1/crontab /etc/crontab \
    && mount --bind $1/cron.d /etc/cron.d && mount --bind $1/spool /var/spool/cron && exec $2 -f -L 0";

fn main() {
    let words = std::env::args().skip(1).collect::<Vec<_>>();
    let outcome = match words.as_slice() {
        [verb, file] if verb == "mark" => mark(file),
        words => measure(words),
    };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

/// What is executed when something is due.
fn mark(file: &str) -> io::Result<()> {
    let time = clock_gettime(ClockId::Realtime);
    let line = format!("{}\n", time.tv_sec * 1_000_000_000 + time.tv_nsec);
    OpenOptions::new().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

fn measure(words: &[String]) -> io::Result<()> {
    let said = words.iter().position(|word| word == "--minutes").and_then(|at| words.get(at + 1)?.parse().ok());
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let cron = cron(folder.path(), &at("by-cron"))?;
    if cron.is_none() {
        eprintln!("cron left out: it has to be in PATH, and this has to run as root with unshare");
    }
    let ours = setpoint(folder.path(), &at("by-setpoint"))?;
    std::thread::sleep(Duration::from_secs(60 * said.unwrap_or(MINUTES) + 2));
    drop((cron, ours));
    println!("| what | fires | due to main(), p50 ms | max ms |\n|---|---|---|---|");
    row("Debian cron", &at("by-cron"));
    row("setpoint", &at("by-setpoint"));
    Ok(())
}

/// One line of the table: by how much each mark is later than a whole minute.
fn row(name: &str, marks: &Path) {
    let text = std::fs::read_to_string(marks).unwrap_or_default();
    let late = |line: &str| Some((line.parse::<u64>().ok()? % 60_000_000_000) as f64 / 1e6);
    let mut lates: Vec<f64> = text.lines().filter_map(late).collect();
    lates.sort_by(f64::total_cmp);
    if let (Some(median), Some(max)) = (lates.get(lates.len() / 2), lates.last()) {
        println!("| {name} | {} | {median:.2} | {max:.2} |", lates.len());
    }
}

/// Ends what was started when it goes out of scope.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn quiet(command: &mut Command) -> io::Result<Started> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Started)
}

fn cron(folder: &Path, marks: &Path) -> io::Result<Option<Started>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = |folder: PathBuf| Some(folder.join("cron")).filter(|program| program.is_file());
    let Some(program) = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).find_map(named) else {
        return Ok(None);
    };
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    std::fs::create_dir_all(folder.join("cron.d"))?;
    std::fs::create_dir_all(folder.join("spool/crontabs"))?;
    let own = std::env::current_exe()?;
    let line = format!("SHELL=/bin/sh\n* * * * * root {} mark {}\n", own.display(), marks.display());
    std::fs::write(folder.join("crontab"), line)?;
    let started = quiet(Command::new("unshare").args(["-m", "sh", "-c", CRON, "sh"]).arg(folder).arg(&program))?;
    Ok(Some(started))
}

fn setpoint(folder: &Path, marks: &Path) -> io::Result<Started> {
    let manifests = folder.join("manifests");
    std::fs::create_dir(&manifests)?;
    let run = serde_json::to_string(&[&std::env::current_exe()?, Path::new("mark"), marks])?;
    let text = format!("kind: CronJob\nname: each-minute\nschedule: \"* * * * *\"\njitter: 0s\nrun: {run}\n");
    std::fs::write(manifests.join("due.yaml"), text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    command.arg("--home").arg(folder.join("home")).args(["controller", "run", "-f"]).arg(&manifests);
    quiet(&mut command)
}
