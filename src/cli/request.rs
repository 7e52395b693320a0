//! `setpoint request`: a supervised process asks for a cycle, a restart or its own end; or a person does for it.
//!
//! In: an action. Out: a request that the disk has. Not here: carrying it out. The surprise: whoever calls from inside a
//! supervised process speaks for that process alone, whatever its environment says and without naming itself.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::apply::{open, value_text};
use super::{Failure, Format, Global, Outcome, controller, exit, say};
use crate::home::Home;
use crate::request::{Action, Asker, Folder, HANDOFF_MAX, Refused, Request, Wish, make};

/// Ask for a fresh start, or for being left down, from inside a supervised process
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What is asked for
    #[arg(value_enum)]
    action: What,
    /// A file for the successor, which finds a copy at $SETPOINT_HANDOFF; `-` is standard input
    #[arg(long, value_name = "FILE")]
    handoff: Option<PathBuf>,
    /// For whom: KIND/NAME for all of it, or KIND/NAME/INSTANCE [default: the instance this is called from]
    #[arg(long = "for", value_name = "OBJECT")]
    target: Option<String>,
    /// Why; shown wherever it is
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A fresh process that is given what its predecessor left it
    Cycle,
    /// A fresh process
    Restart,
    /// None, until a person says: setpoint resume
    Shutdown,
}

/// Writes a request down.
///
/// # Errors
/// When it may not be asked, means nothing that is there, or cannot be written.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let action = match args.action {
        What::Cycle => Action::Cycle,
        What::Restart => Action::Restart,
        What::Shutdown => Action::Shutdown,
    };
    let handoff = args.handoff.as_deref().map(read).transpose()?;
    let (home, _) = open(global)?;
    let asker = Asker::of(&home, std::process::id());
    let (target, reason) = (args.target.clone(), args.reason.clone());
    let wish = Wish { action, target, reason, has_handoff: handoff.is_some() };
    let request = write(&home, &asker, wish, handoff.as_deref())?;
    match global.output {
        Format::Table | Format::Wide => {
            let what = super::plain(&format!("{} of {} is asked for", action.word(), request.subject()));
            super::print(&format!("{what} (request {})\n", request.id))?;
        }
        Format::Name => super::print(&format!("{}\n", request.id))?,
        Format::Json | Format::Yaml => super::print(&value_text(global, &shape(&request)))?,
    }
    // It is on the disk: a controller that is ending, or none at all, leaves it to the next one.
    if !controller::nudge(&home).unwrap_or(false) {
        say(global, "no controller runs, so it waits for one; it expires after 6 h: setpoint controller start");
    }
    Ok(exit::OK)
}

/// Writes a request down, for whoever asks.
///
/// # Errors
/// When it may not be asked, or cannot be written.
pub fn write(home: &Home, asker: &Asker, wish: Wish, handoff: Option<&[u8]>) -> Result<Request, Failure> {
    let base = crate::desired::Store::open(home).read_current().map_err(super::apply::failed)?;
    let made = make(home, &base, asker, wish);
    let added = made.and_then(|request| Folder::of(home).add(&request, handoff).map(|()| request));
    added.map_err(|refused| {
        let code = match &refused {
            Refused::Nameless | Refused::Usage(_) => exit::USAGE,
            Refused::Other { .. } => exit::CONSENT,
            Refused::NotThere(_) => exit::NOT_FOUND,
            Refused::Unfit(_) => exit::REFUSED,
            Refused::Files(_) => exit::FAILED,
        };
        Failure::new(code, refused.to_string())
    })
}

/// A request as programs read it; what is handed over is never shown.
#[must_use]
pub fn shape(request: &Request) -> Value {
    json!({
        "request": request.id,
        "action": request.action.word(),
        "object": request.object,
        "attempts": request.attempts,
        "by": request.by,
    })
}

/// What is to be handed over.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |what: String| {
        let text = format!(
            "the handoff {}: {what}: nothing was asked for\n  help: give a file of at most 1 MiB",
            path.display()
        );
        Failure::new(exit::USAGE, text)
    };
    let limit = HANDOFF_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        // A pipe that nobody writes to would be waited for without end.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        file.and_then(|file| match file.metadata()?.is_file() {
            true => file.take(limit).read_to_end(&mut bytes),
            false => Err(std::io::Error::other("it is no regular file")),
        })
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() > HANDOFF_MAX {
        return Err(failed("it is larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}
