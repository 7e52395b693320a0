//! Writes the policy file of an instance.
//!
//! In: a policy. Out: the file, whole or not at all. Not here: telling the shim, which is a signal.
//! The surprise: a file that says the same already is left alone, so that a settled machine writes nothing.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::engine::plan::Policy;
use crate::observe::records;
use crate::record::policy;

/// The policy as it is written.
#[must_use]
pub fn written(policy: &Policy) -> policy::Policy {
    policy::Policy {
        stop_signal: policy.stop.signal,
        stop_grace_ms: u64::try_from(policy.stop.grace.as_millis()).unwrap_or(u64::MAX),
        log_max_size: policy.log.max_size,
        log_max_files: policy.log.max_files,
        ..policy::Policy::DEFAULT
    }
}

/// Writes it unless it stands there already.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_if_new(folder: &Path, policy: &Policy, _failing: Option<&str>) -> io::Result<()> {
    if records::policy(folder).as_ref() == Some(policy) {
        return Ok(());
    }
    policy::write_atomic(File::open(folder)?, &written(policy))
}
