//! What a payload may use and who it is: the part of a launch spec that holds it back.
//!
//! In: a [`Bounds`]. Out: keys of a launch spec, and the same read back, borrowed from it. Not here: looking up names
//! of users, choosing what a limit becomes (`execute`), and taking it all on (`shim`).
//! The surprise: everything here may be absent, and an older shim skips it all; so a controller starts shims of its
//! own version only.

use std::fmt;
use std::path::Path;

use super::launch::{Fields, SpecError, put, put_number};

/// The most supplementary groups; the kernel takes no more.
pub const GROUPS_MAX: usize = 65_536;
/// The most files of a control group that are written.
const GROUP_FILES_MAX: usize = 16;

/// What a payload is held to, beside what everybody is. Absent is "as the controller".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds<'a> {
    /// The bits that new files do not get.
    pub umask: Option<u32>,
    /// The nice value.
    pub nice: Option<i32>,
    /// The adjustment of the kernel's choice when memory runs out.
    pub oom_score: Option<i32>,
    /// Limits of each process, soft and hard alike.
    pub rlimits: Vec<(Resource, u64)>,
    /// Who it is.
    pub identity: Option<Identity>,
    /// The control group it runs in.
    pub group: Option<Group<'a>>,
    /// Why it must not be executed: the attempt is recorded and counts, and nothing runs.
    pub refusal: Option<&'a str>,
}

/// A resource the kernel limits for each process, by the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Open files.
    Files,
    /// Processes and threads of the same user.
    Processes,
    /// The size of a file it writes.
    FileSize,
    /// The size of a core dump.
    Core,
    /// The stack of its main thread.
    Stack,
}

impl Resource {
    const ALL: [Resource; 5] =
        [Resource::Files, Resource::Processes, Resource::FileSize, Resource::Core, Resource::Stack];

    /// As in a manifest, below `limits`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Resource::Files => "files",
            Resource::Processes => "processes",
            Resource::FileSize => "fileSize",
            Resource::Core => "core",
            Resource::Stack => "stack",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The supplementary groups; none when this is empty.
    pub groups: Vec<u32>,
}

/// A control group of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its folder, absolute; its parent exists.
    pub folder: &'a Path,
    /// What is written into which of its files.
    pub files: Vec<(&'a str, &'a str)>,
}

pub(super) fn encode(bytes: &mut Vec<u8>, bounds: &Bounds<'_>) -> Result<(), SpecError> {
    if let Some(umask) = bounds.umask {
        put_number(bytes, "umask", umask.into());
    }
    if let Some(nice) = bounds.nice {
        put(bytes, "nice", nice.to_string().as_bytes())?;
    }
    if let Some(score) = bounds.oom_score {
        put(bytes, "oom_score", score.to_string().as_bytes())?;
    }
    for (resource, limit) in &bounds.rlimits {
        put(bytes, "rlimit", format!("{resource} {limit}").as_bytes())?;
    }
    if let Some(identity) = &bounds.identity {
        put_number(bytes, "run_uid", identity.uid.into());
        put_number(bytes, "run_gid", identity.gid.into());
        identity.groups.iter().for_each(|group| put_number(bytes, "run_group", (*group).into()));
    }
    if let Some(group) = &bounds.group {
        put(bytes, "cgroup", group.folder.as_os_str().as_encoded_bytes())?;
        for (file, text) in &group.files {
            put(bytes, "cgroup_file", format!("{file} {text}").as_bytes())?;
        }
    }
    match bounds.refusal {
        // A text from outside may hold anything; it is for people, so it is mended and not refused.
        Some(why) => put(bytes, "refusal", why.replace('\0', "?").as_bytes()),
        None => Ok(()),
    }
}

pub(super) fn parse<'a>(fields: &Fields<'a>) -> Result<Bounds<'a>, SpecError> {
    let rlimits = fields.all("rlimit").map(|bytes| rlimit(bytes).ok_or(SpecError::Field("rlimit")));
    Ok(Bounds {
        umask: fields.optional("umask")?,
        nice: fields.optional("nice")?,
        oom_score: fields.optional("oom_score")?,
        rlimits: rlimits.take(Resource::ALL.len() * 2).collect::<Result<_, _>>()?,
        identity: identity(fields)?,
        group: group(fields)?,
        refusal: if fields.has("refusal") { Some(fields.text("refusal")?) } else { None },
    })
}

fn rlimit(bytes: &[u8]) -> Option<(Resource, u64)> {
    let (name, limit) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    let resource = Resource::ALL.into_iter().find(|resource| resource.as_str() == name)?;
    Some((resource, limit.parse().ok()?))
}

fn identity(fields: &Fields<'_>) -> Result<Option<Identity>, SpecError> {
    let Some(uid) = fields.optional("run_uid")? else {
        return Ok(None);
    };
    let number = |bytes| std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    let groups = fields.all("run_group").take(GROUPS_MAX);
    let groups = groups.map(|bytes| number(bytes).ok_or(SpecError::Field("run_group"))).collect::<Result<_, _>>()?;
    Ok(Some(Identity { uid, gid: fields.number("run_gid")?, groups }))
}

fn group<'a>(fields: &Fields<'a>) -> Result<Option<Group<'a>>, SpecError> {
    if !fields.has("cgroup") {
        return Ok(None);
    }
    let split = |bytes: &'a [u8]| {
        let (file, text) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        // Nothing beside the group itself is written to.
        (!file.contains('/')).then_some((file, text))
    };
    let files = fields.all("cgroup_file").take(GROUP_FILES_MAX);
    let files = files.map(|bytes| split(bytes).ok_or(SpecError::Field("cgroup_file"))).collect::<Result<_, _>>()?;
    Ok(Some(Group { folder: fields.path("cgroup")?, files }))
}
