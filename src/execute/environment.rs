//! Gathers what a payload is given: the value of each variable, and who it runs as.
//!
//! In: a launch as written. Out: its environment without the markers, and an identity; or why it cannot be started.
//! Not here: where values come from (`reference`, `env_file`), and on which thread this happens (`controller`).
//! The surprise: later wins, and the order is base, `inheritEnv`, `envFile`, `env`; nothing wins over the markers.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use super::identity::{self, Somebody, Us};
use super::{env_file, reference};
use crate::engine::plan::{EnvValue, Inherit, Launch};
use crate::record::bounds::Identity;

/// What the base environment takes over from the controller's own.
const BASE: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];

/// What the base says of a user, and so not of another one.
const PERSONAL: &[&str] = &["HOME", "USER", "LOGNAME", "SHELL"];

/// Used where the controller itself was started without one.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What names of variables begin with that are ours.
const OURS: &[u8] = b"SETPOINT_";

/// What the supervisor of the controller says to it, and to nobody else.
const TO_US: &[&str] =
    &["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The longest file of variables, in bytes.
const ENV_FILE_MAX: usize = 1 << 20;

/// How long files and name services may take, beside the time that commands are given.
const FILES_WITHIN: Duration = Duration::from_secs(20);

/// What a payload is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// Its environment, the markers left out.
    pub env: BTreeMap<OsString, OsString>,
    /// Who it becomes; none when it stays who the controller is.
    pub identity: Option<Identity>,
}

/// Values may be secrets, so they are never printed, not even for us.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("names", &self.env.keys()).field("identity", &self.identity).finish()
    }
}

impl Given {
    /// What a payload is given that is not to be executed.
    #[must_use]
    pub fn nothing() -> Given {
        Given { env: base(&Somebody::default(), false), identity: None }
    }
}

/// True when everything is in the manifest already, and nothing has to be asked or read.
#[must_use]
pub fn is_at_hand(launch: &Launch) -> bool {
    let is_literal = |value: &EnvValue| matches!(value, EnvValue::Literal(_));
    launch.env.values().all(is_literal)
        && launch.env_files.is_empty()
        && launch.inherit == Inherit::Nothing
        && launch.user.is_none()
        && launch.group.is_none()
}

/// True for what the base environment takes over: it describes a user, and is no secret.
#[must_use]
pub fn is_base(name: &str) -> bool {
    BASE.contains(&name)
}

/// How long [`gather`] may take before something of it does not answer any more.
#[must_use]
pub fn patience(launch: &Launch) -> Duration {
    let commands = launch.env.values().filter(|value| matches!(value, EnvValue::FromCommand(_))).count();
    let commands = u32::try_from(commands).unwrap_or(u32::MAX);
    FILES_WITHIN.saturating_add(reference::COMMAND_WITHIN.saturating_mul(commands))
}

/// Gathers everything; may take as long as [`patience`], and longer where a disk hangs.
///
/// # Errors
/// In words, without any value: what could not be had, and why.
pub fn gather(launch: &Launch) -> Result<Given, String> {
    let is_other = launch.user.is_some() || launch.group.is_some();
    let somebody = match is_other {
        true => identity::look_up(launch.user.as_deref(), launch.group.as_deref(), Us::myself())?,
        false => Somebody::default(),
    };
    let mut env = base(&somebody, launch.user.is_some());
    env.extend(inherited(&launch.inherit));
    for path in &launch.env_files {
        let failed = |what: String| format!("envFile {path}: {what}");
        let bytes = reference::read_file(Path::new(path), ENV_FILE_MAX).map_err(failed)?;
        let read = env_file::parse(&bytes).map_err(|bad| format!("envFile {path}:{}: {}", bad.line, bad.what))?;
        env.extend(read.into_iter().map(|(name, value)| (OsString::from(name), value)));
    }
    for (name, value) in &launch.env {
        let value = value_of(value, Path::new(&*launch.dir)).map_err(|why| format!("env {name}: {why}"))?;
        env.insert(name.into(), value);
    }
    Ok(Given { env, identity: somebody.identity })
}

fn value_of(value: &EnvValue, dir: &Path) -> Result<OsString, String> {
    match value {
        EnvValue::Literal(text) => Ok(text.into()),
        EnvValue::FromEnv(name) => std::env::var_os(name).ok_or_else(|| {
            format!("fromEnv {name}: the controller's environment has no such variable; start the controller with it")
        }),
        EnvValue::FromFile(path) => {
            let read = reference::read_file(Path::new(path), reference::VALUE_MAX).and_then(reference::value);
            read.map_err(|why| format!("fromFile {path}: {why}"))
        }
        EnvValue::FromCommand(argv) => {
            let read = reference::output(argv, dir, reference::OF_VALUE).and_then(reference::value);
            // Its arguments may be as secret as what it prints.
            let program = argv.first().map_or("", String::as_str);
            read.map_err(|why| format!("fromCommand {program}: {why}"))
        }
    }
}

/// The base, for who the controller is.
#[must_use]
pub fn own_base() -> BTreeMap<OsString, OsString> {
    base(&Somebody::default(), false)
}

/// The base, for `somebody`. What it says of a user is never said of another one.
fn base(somebody: &Somebody, is_other: bool) -> BTreeMap<OsString, OsString> {
    let taken = BASE.iter().filter(|name| !is_other || !PERSONAL.contains(name));
    let mut env: BTreeMap<OsString, OsString> =
        taken.filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect();
    env.entry("PATH".into()).or_insert_with(|| PATH_DEFAULT.into());
    if let (true, Some(account)) = (is_other, &somebody.account) {
        let (name, home, shell) = (account.name.as_str(), account.home.as_os_str(), account.shell.as_os_str());
        let said: [(&str, &OsStr); 4] =
            [("HOME", home), ("USER", name.as_ref()), ("LOGNAME", name.as_ref()), ("SHELL", shell)];
        env.extend(said.map(|(name, value)| (name.into(), value.into())));
    }
    env
}

fn inherited(inherit: &Inherit) -> BTreeMap<OsString, OsString> {
    match inherit {
        Inherit::Nothing => BTreeMap::new(),
        Inherit::Named(names) => {
            names.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect()
        }
        Inherit::Everything => std::env::vars_os().filter(|(name, _)| !is_private(name)).collect(),
    }
}

/// True for variables that are meant for the controller alone, whatever it hands on.
pub(super) fn is_private(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(OURS) || TO_US.iter().any(|other| name == *other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Command;

    fn launch() -> Launch {
        Launch::new(Command::Argv(vec!["true".to_owned()]), "/")
    }

    fn text(given: &Given, name: &str) -> Option<String> {
        given.env.get(OsStr::new(name)).map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let mut launch = launch();
        launch.env_files = vec![write("a", "LANG=a\nA=a\nB=a\nC=a\n"), write("b", "B='b'\nC=b\n")];
        launch.env.insert("C".to_owned(), EnvValue::Literal("c".to_owned()));
        launch.env.insert("D".to_owned(), EnvValue::FromFile(write("d", "d\n")));
        let printed = ["/bin/echo", "e"].map(str::to_owned).to_vec();
        launch.env.insert("E".to_owned(), EnvValue::FromCommand(printed));
        launch.env.insert("F".to_owned(), EnvValue::FromEnv("PATH".to_owned()));
        let given = gather(&launch).expect("all is there");
        let found = ["LANG", "A", "B", "C", "D", "E"].map(|name| text(&given, name).unwrap_or_default());
        assert_eq!(found, ["a", "a", "b", "c", "d", "e"]);
        assert_eq!(text(&given, "F"), std::env::var("PATH").ok());
        assert!(!format!("{given:?}").contains("\"e\""), "values are not for printing");
    }

    #[test]
    fn what_is_meant_for_the_controller_alone_is_not_handed_on() {
        for (name, expected) in [("NOTIFY_SOCKET", true), ("SETPOINT_HOME", true), ("PATH", false), ("LISTEN", false)] {
            assert_eq!(is_private(OsStr::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn only_what_is_named_is_inherited() {
        // Cargo sets these for tests, and no base has them.
        let names = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"];
        let table = [
            (Inherit::Nothing, [false, false]),
            (Inherit::Named(vec![names[0].to_owned(), "NO_SUCH_VARIABLE".to_owned()]), [true, false]),
            (Inherit::Everything, [true, true]),
        ];
        for (inherit, expected) in table {
            let given = gather(&Launch { inherit: inherit.clone(), ..launch() }).expect("all is there");
            assert_eq!(names.map(|name| text(&given, name).is_some()), expected, "{inherit:?}");
            assert_eq!(is_at_hand(&Launch { inherit: inherit.clone(), ..launch() }), inherit == Inherit::Nothing);
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let with = |value: EnvValue| Launch { env: BTreeMap::from([("TOKEN".to_owned(), value)]), ..launch() };
        let shell = |line: &str| EnvValue::FromCommand(["sh", "-c", line].map(str::to_owned).to_vec());
        let files = |path: &str| Launch { env_files: vec![path.to_owned()], ..launch() };
        let folder = tempfile::tempdir().expect("a folder");
        let bad = folder.path().join("bad.env").display().to_string();
        std::fs::write(&bad, "A=1\nhunter2\n").expect("a file");
        let table = [
            (
                with(EnvValue::FromEnv("NO_SUCH_VARIABLE".to_owned())),
                "env TOKEN: fromEnv NO_SUCH_VARIABLE: the controller's environment has no such variable; start the \
                 controller with it"
                    .to_owned(),
            ),
            (
                with(EnvValue::FromFile("/no/such/file".to_owned())),
                "env TOKEN: fromFile /no/such/file: No such file or directory".to_owned(),
            ),
            (with(shell("echo hunter2; exit 9")), "env TOKEN: fromCommand sh: exited with 9".to_owned()),
            (files("/no/such/.env"), "envFile /no/such/.env: No such file or directory".to_owned()),
            (files(&bad), format!("envFile {bad}:2: has no `=`; write NAME=value")),
            (
                Launch { user: Some("no such".to_owned()), ..launch() },
                "user no such: there is no such user here; see: getent passwd".to_owned(),
            ),
        ];
        for (launch, expected) in table {
            assert!(!is_at_hand(&launch), "{expected}");
            assert_eq!(gather(&launch), Err(expected));
        }
    }
}
