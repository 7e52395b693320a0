//! Writes the policy file of an instance.
//!
//! In: a policy. Out: the file, whole or not at all. Not here: telling the shim, which is a signal.
//! The surprise: a file that says the same already is left alone, so that a settled machine writes nothing.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::engine::plan::{Policy, Told};
use crate::record::policy::{self, Ready};

/// The policy as it is written; `failing` says why the stop it is for is a failure of the service.
#[must_use]
pub fn written(policy: &Policy, failing: Option<&str>) -> policy::Policy {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    policy::Policy {
        stop_signal: policy.stop.signal,
        stop_grace_ms: millis(policy.stop.grace),
        log_max_size: policy.log.max_size,
        log_max_files: policy.log.max_files,
        ready: match &policy.told {
            Told::AtOnce => Ready::AtOnce,
            Told::ByLog(text) => Ready::ByLog(text.to_string()),
            Told::ByNotify => Ready::ByNotify,
        },
        watchdog_ms: policy.watchdog.map_or(0, |span| millis(span).max(1)),
        failing: failing.map(str::to_owned),
    }
}

/// Writes it unless it stands there already. One that still says `failing`, from a stop that never came, does not: the
/// next stop would count as a failure.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_if_new(folder: &Path, policy: &Policy, failing: Option<&str>) -> io::Result<()> {
    let policy = written(policy, failing);
    let folder = File::open(folder)?;
    if policy::read(&folder).is_ok_and(|found| found.as_ref() == Some(&policy)) {
        return Ok(());
    }
    policy::write_atomic(folder, &policy)
}
