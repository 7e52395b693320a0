//! The file that has the system start the controller, for systemd or for launchd.
//!
//! In: one description. Out: its text and its place. Not here: telling the system (`install`).
//! The surprise: whatever the system does to the controller, it has to leave everything else in its group alone:
//! services live there and outlast it. Only a machine that goes down stops them, each with its grace.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use sha2::{Digest, Sha256};

use crate::cli::apply::quoted;
use crate::cli::{Failure, exit};
use crate::home::hex;

/// A program that starts others with the machine or at login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// A unit, for the user or, as root, for the machine
    Systemd,
    /// An agent, or as root a daemon
    Launchd,
}

impl System {
    /// The one of this machine.
    pub fn here() -> System {
        if cfg!(target_os = "macos") { System::Launchd } else { System::Systemd }
    }
}

/// What is to be started, and with what around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The binary, absolute.
    pub program: String,
    /// The home, unless it is the one that is found without being named.
    pub home: Option<String>,
    /// Live folders, absolute.
    pub folders: Vec<String>,
    /// What services may need and a freshly started system does not set.
    pub env: Vec<(&'static str, String)>,
    /// For the machine instead of one user.
    pub is_root: bool,
    /// The folder of the user.
    pub user_home: PathBuf,
}

/// What is captured of the environment.
const CAPTURED: [&str; 3] = ["PATH", "LANG", "TZ"];

impl Unit {
    /// The controller of the home at `place`, started as this very binary.
    ///
    /// # Errors
    /// When the binary is gone, or a path is no text.
    pub fn new(place: &Path, folders: &[PathBuf]) -> Result<Unit, Failure> {
        let program = std::env::current_exe().ok().filter(|path| path.is_file()).ok_or_else(|| {
            let text = "this binary has been replaced or removed while it runs\n  help: call the new one";
            Failure::new(exit::FAILED, text)
        })?;
        let is_root = rustix::process::geteuid().is_root();
        let user_home = std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let user_home = user_home.or_else(|| is_root.then(|| PathBuf::from("/root"))).ok_or_else(|| {
            Failure::new(exit::FAILED, "$HOME is not set, so nobody knows where the file goes\n  help: set it")
        })?;
        // A system that has just come up sets neither $SETPOINT_HOME nor $XDG_STATE_HOME; for root not even $HOME.
        let is_found = !is_root && place == user_home.join(".local/state/setpoint");
        let home = (!is_found).then(|| text(place)).transpose()?;
        let env = CAPTURED.iter().filter_map(|name| Some((*name, captured(name, &std::env::var(name).ok()?))));
        Ok(Unit {
            program: text(&program)?,
            home,
            folders: folders.iter().map(|folder| text(folder)).collect::<Result<_, _>>()?,
            env: env.filter(|(_, value)| !value.is_empty()).collect(),
            is_root,
            user_home,
        })
    }

    /// Its name, which another home does not share.
    pub fn name(&self, system: System) -> String {
        let of_home = self.home.as_ref().map(|home| format!("-{}", hex(&Sha256::digest(home)[..4])));
        match system {
            System::Systemd => format!("setpoint{}.service", of_home.unwrap_or_default()),
            System::Launchd => format!("setpoint.controller{}", of_home.unwrap_or_default()),
        }
    }

    /// Where the file lies.
    pub fn file(&self, system: System) -> PathBuf {
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = match (system, self.is_root) {
            (System::Systemd, true) => PathBuf::from("/etc/systemd/system"),
            (System::Systemd, false) => config.unwrap_or_else(|| self.user_home.join(".config")).join("systemd/user"),
            (System::Launchd, true) => PathBuf::from("/Library/LaunchDaemons"),
            (System::Launchd, false) => self.user_home.join("Library/LaunchAgents"),
        };
        let name = self.name(system);
        folder.join(if system == System::Launchd { format!("{name}.plist") } else { name })
    }

    /// The command line of the controller up to its verb.
    fn stem(&self) -> Vec<&str> {
        let home = self.home.iter().flat_map(|home| ["--home", home.as_str()]);
        std::iter::once(self.program.as_str()).chain(home).chain(["controller"]).collect()
    }

    fn words(&self, verb: &[&'static str]) -> Vec<&str> {
        let folders = self.folders.iter().flat_map(|folder| ["-f", folder.as_str()]);
        self.stem().into_iter().chain(verb.iter().copied()).chain(folders).collect()
    }

    /// The controller as the system runs it: one that somebody started meanwhile makes way.
    fn run_words(&self) -> Vec<&str> {
        self.words(&["run", "--replace"])
    }

    /// What a person types who has no such system.
    pub fn by_hand(&self) -> String {
        self.words(&["start"]).into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// The text of the file.
    pub fn text(&self, system: System) -> String {
        match system {
            System::Systemd => self.service(),
            System::Launchd => self.plist(),
        }
    }

    fn service(&self) -> String {
        let line = |words: &[&str]| words.iter().map(|word| word_of_unit(word, "$$")).collect::<Vec<_>>().join(" ");
        let env = self.env.iter().map(|(name, value)| word_of_unit(&format!("{name}={value}"), "$"));
        let env: String = env.map(|word| format!("Environment={word}\n")).collect();
        // What the machine has up by then is still up when services are stopped; a user's units cannot name it.
        let (ctl, after, who, target) = match self.is_root {
            true => ("systemctl", "After=network.target\n", "User=root\n", "multi-user.target"),
            false => ("systemctl --user", "", "", "default.target"),
        };
        // The shell asks whether the machine goes down; `$0` and `$@` are the words behind.
        let script = format!("test \"$({ctl} is-system-running)\" != stopping || exec \"$0\" \"$@\"");
        let stop: Vec<&str> = self.stem().into_iter().chain(["stop", "--all"]).collect();
        format!(
            "# Written by `setpoint controller install`, which also overwrites it. For changes of your own:\n\
             # {ctl} edit {name}\n\
             [Unit]\n\
             Description=setpoint, which keeps services as their manifests say\n\
             {after}\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=notify\n\
             ExecStart={start}\n\
             ExecReload=/bin/kill -HUP $MAINPID\n\
             # Services outlast the controller, but not the machine: then each is stopped with its grace.\n\
             ExecStop=-/bin/sh -c {script} {stop}\n\
             {who}{env}\
             Restart=always\n\
             RestartSec=1\n\
             TimeoutStopSec=90\n\
             # Services live in this group and are not the unit's to end.\n\
             KillMode=process\n\
             OOMPolicy=continue\n\
             Delegate=yes\n\
             DelegateSubgroup=setpoint-controller\n\
             TasksMax=infinity\n\
             \n\
             [Install]\n\
             WantedBy={target}\n",
            name = self.name(System::Systemd),
            start = line(&self.run_words()),
            script = word_of_unit(&script, "$$"),
            stop = line(&stop),
        )
    }

    fn plist(&self) -> String {
        let words: String = self.run_words().iter().map(|word| format!("    {}\n", element("string", word))).collect();
        let pair = |(name, value): &(&str, String)| {
            format!("    {}\n    {}\n", element("key", name), element("string", value))
        };
        let env: String = self.env.iter().map(pair).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
             <!-- Written by `setpoint controller install`, which also overwrites it. -->\n\
             <plist version=\"1.0\">\n\
             <dict>\n\
             \x20 <key>Label</key>\n\
             \x20 {label}\n\
             \x20 <key>ProgramArguments</key>\n\
             \x20 <array>\n{words}  </array>\n\
             \x20 <key>EnvironmentVariables</key>\n\
             \x20 <dict>\n{env}  </dict>\n\
             \x20 <key>RunAtLoad</key>\n\
             \x20 <true/>\n\
             \x20 <key>KeepAlive</key>\n\
             \x20 <true/>\n\
             \x20 <!-- Services outlast the controller. -->\n\
             \x20 <key>AbandonProcessGroup</key>\n\
             \x20 <true/>\n\
             \x20 <key>ExitTimeOut</key>\n\
             \x20 <integer>30</integer>\n\
             </dict>\n\
             </plist>\n",
            label = element("string", &self.name(System::Launchd)),
        )
    }
}

/// A variable as it is worth keeping: of PATH, the folders that mean the same from everywhere.
fn captured(name: &str, value: &str) -> String {
    match name {
        "PATH" => {
            let mut folders: Vec<&str> = Vec::new();
            for folder in value.split(':').filter(|folder| folder.starts_with('/')) {
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            folders.join(":")
        }
        _ => value.to_owned(),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control)).map(str::to_owned);
    text.ok_or_else(|| {
        let what =
            format!("{} cannot be written into a unit file\n  help: rename it in plain characters", path.display());
        Failure::new(exit::FAILED, what)
    })
}

/// One word of a unit file: nothing in it is expanded, split or taken for a quote.
fn word_of_unit(word: &str, dollar: &str) -> String {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:,@+".contains(&b)) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', dollar);
    format!("\"{escaped}\"")
}

fn element(name: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<{name}>{text}</{name}>")
}
