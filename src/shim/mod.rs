//! The parent of one process: it outlives the controller, keeps the logs, ends the whole tree and records the exit.
//!
//! In: argv that says who it is, a launch spec on standard input. Out: one answer on standard output once the payload
//! has been executed, then a record and log files. Not here: any decision to start or stop.
//! The surprise: it runs as a daemon of its own, so no controller is ever its parent, and every controller sees the
//! same; after the payload is up nothing in here may panic, for the exit would be lost.

mod bounds;
mod cgroup;
mod claim;
mod client;
pub mod first;
mod input;
mod life;
mod log;
mod notify;
mod payload;
mod pump;
mod ring;
mod search;
pub mod server;
mod sys;
mod tree;
mod voice;
mod wait;
mod wire;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags};

use crate::record::answer::{Answer, Proc, Stage};
use crate::record::argv::{self, Argv};
use crate::record::attempt::{self, Birth, End, How};
use crate::record::launch::{self, Launch};
use crate::record::{policy, words_of};
use claim::Claim;
use input::Input;
use life::{Life, Phase};
use log::Log;
use notify::Notify;
use payload::{Refusal, Waiting};
use pump::Pump;
use sys::{Side, Title};
use voice::Voice;

/// What a launch spec without much data takes at most, in bytes.
const SPEC_USUAL: u64 = 16 << 10;

/// The variables by which a process is known as ours.
const MARKERS: [&[u8]; 3] = [b"SETPOINT_HOME=", b"SETPOINT_INSTANCE=", b"SETPOINT_ATTEMPT="];

/// Runs as a shim: claims the instance, leaves a daemon behind that starts the payload, and returns. The daemon
/// answers on standard output and lives until the tree of the payload is gone.
///
/// Exit codes: 0 when a daemon was left behind or the instance is busy or taken, 1 when the start failed, 2 when this
/// was not called by a controller.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    sys::close_inherited();
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(error) => return by_hand(&error.to_string()),
    };
    let launch = match launch::parse(&spec) {
        Ok(launch) => launch,
        Err(error) => return by_hand(&error.to_string()),
    };
    if !is_argv_of(args, &launch) {
        return by_hand("the arguments and the launch spec name different attempts");
    }
    let claim = match claim(&launch) {
        Ok(claim) => claim,
        Err(code) => return code.into(),
    };
    match sys::fork() {
        Ok(Side::Parent(_)) => sys::exit_now(0),
        Ok(Side::Child) => {}
        Err(error) => {
            tell(io::stdout(), &failed(Stage::Fork, &error, "cannot fork"));
            return ExitCode::FAILURE;
        }
    }
    let life = live(&launch, claim);
    // What is kept from here on is kept for as long as the payload lives.
    drop(launch);
    drop(spec);
    sys::exit_now(outlive(life))
}

/// The same for a copy of the fork server, which is on its own already; the exit code.
fn forked(title: &Title) -> i32 {
    let no_spec = |text: String| tell(io::stdout(), &Answer::Failed { stage: Stage::Spec, errno: 0, text });
    let spec = match read_spec() {
        Ok(spec) => spec,
        Err(error) => {
            no_spec(error.to_string());
            return 2;
        }
    };
    let life = match launch::parse(&spec) {
        Ok(launch) => {
            name(&launch, title);
            claim(&launch).map_err(i32::from).and_then(|claim| live(&launch, claim))
        }
        Err(error) => {
            no_spec(error.to_string());
            return 2;
        }
    };
    drop(spec);
    outlive(life)
}

/// Puts who we are where `ps` and every scan read it; the server was started with room for all that a home can name.
fn name(launch: &Launch<'_>, title: &Title) {
    let said = argv_of(launch).words();
    let argv = ["setpoint"].into_iter().chain(said.iter().map(String::as_str));
    let words = launch.env.iter().map(|word| word.as_encoded_bytes());
    let markers = words.filter(|word| MARKERS.iter().any(|marker| word.starts_with(marker)));
    title.write(argv.map(str::as_bytes), markers);
}

/// Claims the instance, or says why not and with which code to leave.
fn claim(launch: &Launch<'_>) -> Result<Claim, u8> {
    // Before anything is made for a start that was given up.
    if is_unheard(io::stdout()) {
        return Err(0);
    }
    let claim = claim::take(launch).map_err(|refusal| {
        let is_failure = matches!(refusal, Answer::Failed { .. });
        tell(io::stdout(), &refusal);
        u8::from(is_failure)
    })?;
    // And with the lock in hand: whoever gives a start up lets go of the answer first and then looks whether we are there.
    // Long after that it may be over, cancelled or forgotten.
    if is_unheard(io::stdout()) { Err(0) } else { Ok(claim) }
}

/// True when nobody waits for an answer any more.
fn is_unheard(answer: impl std::os::fd::AsFd) -> bool {
    let no_wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut ends = [PollFd::new(&answer, PollFlags::empty())];
    let found = rustix::event::poll(&mut ends, Some(&no_wait));
    found.is_ok() && ends.iter().any(|end| end.revents().contains(PollFlags::ERR))
}

/// Becomes a daemon and starts the payload; on failure, the exit code.
fn live(launch: &Launch<'_>, claim: Claim) -> Result<Life, i32> {
    match Daemon::new() {
        Ok(daemon) => daemon.start(launch, claim),
        Err(error) => {
            tell(io::stdout(), &failed(Stage::Fork, &error, "cannot become a daemon"));
            Err(1)
        }
    }
}

fn outlive(life: Result<Life, i32>) -> i32 {
    match life {
        Ok(life) => {
            life.run();
            0
        }
        Err(code) => code,
    }
}

/// Somebody called this in a way no controller does.
fn by_hand(why: &str) -> ExitCode {
    tell(io::stdout(), &Answer::Failed { stage: Stage::Spec, errno: 0, text: why.to_owned() });
    eprintln!("error: {why}\n  help: `setpoint shim` is started by the controller; use `setpoint apply -f FILE`");
    ExitCode::from(2)
}

fn read_spec() -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    if rustix::termios::isatty(&stdin) {
        return Err(io::Error::other("there is no launch spec on standard input"));
    }
    let mut stdin = File::from(rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?);
    // Whoever wrote a file need not have rewound it; a pipe cannot be.
    let _ = stdin.seek(SeekFrom::Start(0));
    let mut spec = Vec::new();
    // One byte more than allowed, so that a longer one is noticed.
    let mut stdin = stdin.take(launch::LEN_MAX as u64 + 1);
    stdin.by_ref().take(SPEC_USUAL).read_to_end(&mut spec)?;
    if spec.len() as u64 == SPEC_USUAL {
        // At once, and not by doubling: so much memory is a mapping of its own, of which only what is touched is used
        // and nothing stays.
        spec.reserve_exact(launch::LEN_MAX);
        stdin.read_to_end(&mut spec)?;
    }
    Ok(spec)
}

fn is_argv_of(args: impl Iterator<Item = OsString>, launch: &Launch<'_>) -> bool {
    let words: Vec<OsString> = args.take(8).collect();
    let texts = words.iter().map_while(|word| word.to_str());
    Argv::of_words(texts) == Some(argv_of(launch))
}

fn argv_of<'a>(launch: &Launch<'a>) -> Argv<'a> {
    Argv { instance: launch.instance, attempt: launch.attempt, revision: launch.revision, home: launch.home }
}

fn tell(to: impl std::os::fd::AsFd, answer: &Answer) {
    // Whoever asked may be gone; the record tells the next one.
    let _ = rustix::io::write(to, answer.encode().as_bytes());
}

fn failed(stage: Stage, error: &io::Error, what: &str) -> Answer {
    let errno = error.raw_os_error().unwrap_or(0);
    let words = if errno == 0 { error.to_string() } else { words_of(errno) };
    Answer::Failed { stage, errno, text: format!("{what}: {words}") }
}

/// A shim that is on its own, before it has a payload.
struct Daemon {
    us: Proc,
    answer: OwnedFd,
    signals: OwnedFd,
}

impl Daemon {
    /// Cuts every tie to whoever called: session, folder, standard streams; orphans below it will come to it.
    fn new() -> io::Result<Daemon> {
        rustix::process::setsid()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        rustix::thread::set_name(argv::STARTING)?;
        rustix::process::chdir(c"/")?;
        let signals = sys::take_signals()?;
        let answer = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
        let null = rustix::fs::openat(CWD, c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        sys::replace_stream(&null, 0)?;
        sys::replace_stream(&null, 1)?;
        sys::replace_stream(&null, 2)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
        let stat = tree::stat(pid).ok_or_else(|| io::Error::other("cannot read /proc"))?;
        Ok(Daemon { us: Proc { pid, started: stat.started }, answer, signals })
    }

    /// Starts the payload and answers. On failure, the exit code of the shim.
    fn start(self, launch: &Launch<'_>, claim: Claim) -> Result<Life, i32> {
        match fork_payload(launch, &claim) {
            Ok(started) => self.execute(launch, claim, started),
            Err(answer) => {
                tell(&self.answer, &answer);
                Err(1)
            }
        }
    }

    /// Records the birth, gives the waiting child the word, and answers what came of it.
    fn execute(self, launch: &Launch<'_>, claim: Claim, forked: Forked) -> Result<Life, i32> {
        let Forked { waiting, mut pump, input, notify } = forked;
        let Some(stat) = tree::stat(waiting.pid) else {
            waiting.cancel();
            tell(&self.answer, &failed(Stage::Fork, &io::Error::other("cannot read /proc"), "cannot start"));
            return Err(1);
        };
        let payload = Proc { pid: waiting.pid, started: stat.started };
        let birth = self.birth(launch, payload, pump.log().place());
        let created = attempt::create(&claim.folder, &birth).and_then(|record| {
            if launch.durable {
                attempt::keep_birth(&claim.folder, &record, launch.attempt)?;
            }
            Ok(record)
        });
        let record = match created {
            Ok(record) => record,
            Err(error) => {
                waiting.cancel();
                // Free before the answer, so that whoever reads it may try again.
                drop(claim);
                tell(&self.answer, &not_recorded(&error));
                return Err(1);
            }
        };
        let group = waiting.group.clone();
        waiting.go();
        keep_policy(&claim, launch);
        if let Err(refusal) = waiting.outcome() {
            let answer = record_refusal(launch, &record, &refusal);
            drop(claim);
            tell(&self.answer, &answer);
            return Err(refusal.code());
        }
        let mut life = Life {
            us: self.us.pid,
            main: payload.pid,
            is_line: launch.is_line,
            policy: launch.policy.clone(),
            claim,
            record,
            signals: self.signals,
            pump,
            phase: Phase::Running,
            ended: None,
            failing: None,
            seen: 1,
            voice: Voice::new(&launch.policy, notify),
            input,
            group,
            is_durable: launch.durable,
        };
        // Before the answer: whoever reads it looks at once, and would take us for one still on its way up.
        life.begin();
        tell(&self.answer, &Answer::Started { shim: self.us, payload });
        claim::prune(&life.claim.folder, launch.attempt, launch.keep_attempts);
        // `self.answer` closes as this returns: whoever waits for the answer waits for its end, too.
        Ok(life)
    }

    fn birth(&self, launch: &Launch<'_>, payload: Proc, (log_file, log_offset): (u32, u64)) -> Birth {
        Birth {
            home: launch.home.to_owned(),
            instance: launch.instance.to_owned(),
            uid: launch.uid.to_owned(),
            attempt: launch.attempt,
            revision: launch.revision.to_owned(),
            generation: launch.generation,
            boot_id: launch.boot_id.to_owned(),
            shim_pid: self.us.pid,
            shim_started: self.us.started,
            payload_pid: payload.pid,
            payload_started: payload.started,
            started_boot_ns: sys::boot_ns(),
            started_wall_ns: sys::wall_ns(),
            streak: launch.streak,
            log_file,
            log_offset,
        }
    }
}

/// A child that waits to become the payload, and our ends of it.
struct Forked {
    waiting: Waiting,
    pump: Pump,
    input: Option<Box<Input>>,
    notify: Option<Box<Notify>>,
}

fn fork_payload(launch: &Launch<'_>, claim: &Claim) -> Result<Forked, Answer> {
    let no_start = |error: io::Error| failed(Stage::Fork, &error, "cannot start another process");
    let of_run = launch.durable.then_some(launch.attempt);
    let log = Log::open(launch.home_root, launch.log_dir, launch.log_prefix, &launch.policy, of_run);
    let log = log.map_err(no_start)?;
    let (theirs, ours) = wire::make(launch)?;
    let waiting = payload::fork(launch, &theirs, &claim.lock).map_err(no_start)?;
    match Pump::new(ours.stdout, ours.stderr, log) {
        Ok(pump) => Ok(Forked { waiting, pump, input: ours.input, notify: ours.notify }),
        Err(error) => {
            waiting.cancel();
            Err(no_start(error))
        }
    }
}

/// The payload could not be executed: the attempt counts, and its record says why.
fn record_refusal(launch: &Launch<'_>, record: &OwnedFd, refusal: &Refusal) -> Answer {
    let Refusal { stage, errno, about } = refusal;
    let text = match errno {
        0 => about.clone(),
        _ => format!("{about}: {}{}", words_of(*errno), payload::hint(launch, refusal)),
    };
    let how = match stage {
        Stage::Refused => text.clone(),
        Stage::Spec | Stage::Home | Stage::Fork | Stage::Dir | Stage::Exec | Stage::Limits | Stage::User => {
            format!("{} {text}", stage.as_str())
        }
    };
    let end = End { how: How::NotStarted(how), ..End::lost(sys::boot_ns(), sys::wall_ns(), false) };
    // An end that cannot be written reads as lost.
    let _ = attempt::write_end(record, &end);
    if launch.durable {
        let _ = attempt::keep_end(record);
    }
    Answer::Failed { stage: *stage, errno: *errno, text }
}

fn not_recorded(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Answer::Taken,
        io::ErrorKind::InvalidInput => failed(Stage::Spec, error, "a name is too long for the record"),
        _ => failed(Stage::Home, error, "cannot write the record of the attempt"),
    }
}

/// Leaves the policy where others read it. When that fails, the one in the launch spec applies all the same.
fn keep_policy(claim: &Claim, launch: &Launch<'_>) {
    if !policy::read(&claim.folder).is_ok_and(|found| found.as_ref() == Some(&launch.policy)) {
        let _ = policy::write_atomic(&claim.folder, &launch.policy);
    }
}
