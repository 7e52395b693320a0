//! What a shim looks like in `ps`: `setpoint shim <instance> attempt=<n> rev=<version:hash> home=<id>`.
//!
//! In: who it is. Out: its argv, and who it is from the argv of any process. Not here: whether that is true, which
//! takes its birth record and start time.
//! The surprise: its phase stands in its comm, which is all a scan has to read of a process that is not a shim.

use std::ffi::CStr;

use super::text::Text;

/// The comm of a shim whose payload has not been executed yet.
pub const STARTING: &CStr = c"sp-starting";
/// The comm of a shim whose payload runs.
pub const READY: &CStr = c"sp-ready";
/// The comm of a shim that is ending its tree.
pub const STOPPING: &CStr = c"sp-stopping";
/// The verb that makes the program a shim.
pub const VERB: &str = "shim";
/// The longest argv of a shim, in bytes, its NULs included.
pub const LEN_MAX: usize = 1024;

/// Who a shim says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argv<'a> {
    /// The instance, `service/web/0`.
    pub instance: &'a str,
    /// The number of the attempt.
    pub attempt: u32,
    /// What it was started from, `1:9f86d081884c7d65`.
    pub revision: &'a str,
    /// The id of its home.
    pub home: &'a str,
}

impl<'a> Argv<'a> {
    /// The arguments after the name of the program.
    #[must_use]
    pub fn words(&self) -> [String; 5] {
        [
            VERB.to_owned(),
            self.instance.to_owned(),
            format!("attempt={}", self.attempt),
            format!("rev={}", self.revision),
            format!("home={}", self.home),
        ]
    }

    /// Reads the arguments after the name of the program and the verb.
    #[must_use]
    pub fn of_words(mut words: impl Iterator<Item = &'a str>) -> Option<Argv<'a>> {
        let instance = words.next()?;
        let attempt = words.next()?.strip_prefix("attempt=")?.parse().ok()?;
        let revision = words.next()?.strip_prefix("rev=")?;
        let home = words.next()?.strip_prefix("home=")?;
        // Later versions may say more behind this.
        Some(Argv { instance, attempt, revision, home })
    }
}

/// Reads the bytes of `/proc/PID/cmdline`; `None` when it is not the argv of a shim.
#[must_use]
pub fn parse(cmdline: &[u8]) -> Option<Argv<'_>> {
    let text = std::str::from_utf8(cmdline.get(..cmdline.len().min(LEN_MAX))?).ok()?;
    let mut words = text.split('\0').skip(1);
    if words.next()? != VERB {
        return None;
    }
    Argv::of_words(words)
}

/// True for the comm of a shim, as a scan reads it: without a NUL or newline.
#[must_use]
pub fn is_comm(comm: &[u8]) -> bool {
    [STARTING, READY, STOPPING].iter().any(|name| name.to_bytes() == comm)
}

/// The value of the `SETPOINT_INSTANCE` marker: `<home id>/<instance>`.
#[must_use]
pub fn marker(home: &str, instance: &str) -> Text<512> {
    Text::of(format_args!("{home}/{instance}"))
}
