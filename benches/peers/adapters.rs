//! One adapter per peer: its own configuration for a list of services, and its own documented commands.
//!
//! In: services as id and argv. Out: a running supervisor. Not here: measuring, and setpoint's own adapter.
//! The surprise: every peer runs with the defaults it documents, since that is what its users have; where a metric
//! needs another setting (log rotation), the adapter writes the peer's own spelling of it.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::lab::{Lab, show, signal};

/// A service to be supervised.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its id, which its start records carry.
    pub id: String,
    /// What is executed.
    pub argv: Vec<String>,
    /// Its output is captured into `logs/ID…` with rotation at 100 MB.
    pub is_logged: bool,
}

/// A supervisor under measurement; its verbs write, start and ask, and never measure.
pub trait Peer {
    /// The name in the table.
    fn name(&self) -> &'static str;
    /// Writes the configuration of all services.
    fn configure(&mut self, lab: &Lab, services: &[Service]) -> io::Result<()>;
    /// Starts the supervisor, and again after its death, as an init would.
    fn start(&mut self, lab: &mut Lab) -> io::Result<()>;
    /// Adds one service to the running ones: edits the configuration and says so in the documented way.
    fn add(&mut self, lab: &mut Lab, service: &Service) -> io::Result<()>;
    /// Stops every service in the documented way; may return before they are gone.
    fn stop_all(&mut self, lab: &mut Lab) -> io::Result<()>;
    /// The process whose death is the death of the supervisor.
    fn supervisor(&self) -> u32;
    /// True when the supervisor answers; peers that cannot be asked always do.
    fn answers(&mut self, _lab: &mut Lab) -> bool {
        true
    }
    /// The files that captured the output of a service, oldest first.
    fn log_files(&self, lab: &Lab, id: &str) -> Vec<PathBuf>;
}

/// Where the tools of the peers are looked for, before PATH.
pub fn tool(name: &str) -> String {
    let site = PathBuf::from(std::env::var_os("SETPOINT_BENCH").unwrap_or_default());
    let places = ["venv/bin", "deb/usr/bin", "deb/usr/sbin"].map(|place| site.join(place).join(name));
    places.iter().find(|path| path.exists()).map_or_else(|| name.to_owned(), |path| show(path))
}

/// True when the program of a peer can be found.
pub fn is_installed(name: &str) -> bool {
    let program = match name {
        "supervisord" => "supervisord",
        "runit" => "runsvdir",
        "s6" => "s6-svscan",
        "inotifywait" | "watchexec" => name,
        _ => return true,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    tool(program).contains('/') || std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

/// Files of a folder by the time of their last change, oldest first.
fn by_age(folder: PathBuf, is_log: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let logs = entries.filter(|entry| is_log(&entry.file_name().to_string_lossy()));
    let mut files: Vec<_> = logs.filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))).collect();
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// supervisord: one process is the parent of all.
#[derive(Default)]
pub struct Supervisord {
    services: Vec<Service>,
    pid: u32,
}

impl Supervisord {
    fn program(lab: &Lab, service: &Service) -> String {
        let head = format!(
            "[program:{}]\ncommand={}\nautorestart=true\n",
            service.id,
            service.argv.iter().map(|word| word.replace('%', "%%")).collect::<Vec<_>>().join(" ")
        );
        if !service.is_logged {
            return head;
        }
        let file = lab.path("logs").join(&service.id);
        head + &format!("stdout_logfile={}\nstdout_logfile_maxbytes=100MB\nstdout_logfile_backups=20\n", show(&file))
    }

    fn control(&self, lab: &mut Lab, verb: &[&str]) -> io::Result<()> {
        let mut argv = vec![tool("supervisorctl"), "-c".to_owned(), show(&lab.path("supervisord.conf"))];
        argv.extend(words(verb));
        lab.call(&argv, &[])
    }
}

impl Peer for Supervisord {
    fn name(&self) -> &'static str {
        "supervisord"
    }

    fn configure(&mut self, lab: &Lab, services: &[Service]) -> io::Result<()> {
        self.services = services.to_vec();
        let dir = show(&lab.dir);
        let mut text = format!(
            "[supervisord]\nnodaemon=true\nlogfile={dir}/supervisord.log\npidfile={dir}/supervisord.pid\n\
             childlogdir={dir}/logs\nminfds=8192\n[unix_http_server]\nfile={dir}/sock\n[rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{dir}/sock\n"
        );
        text.extend(services.iter().map(|service| Supervisord::program(lab, service)));
        lab.write("supervisord.conf", &text, 0o644)
    }

    fn start(&mut self, lab: &mut Lab) -> io::Result<()> {
        let config = show(&lab.path("supervisord.conf"));
        self.pid = lab.spawn(&[tool("supervisord"), "-c".to_owned(), config], &[])?;
        Ok(())
    }

    fn add(&mut self, lab: &mut Lab, service: &Service) -> io::Result<()> {
        let mut services = self.services.clone();
        services.push(service.clone());
        self.configure(lab, &services)?;
        self.control(lab, &["update"])
    }

    fn stop_all(&mut self, lab: &mut Lab) -> io::Result<()> {
        self.control(lab, &["stop", "all"])
    }

    fn supervisor(&self) -> u32 {
        self.pid
    }

    fn log_files(&self, lab: &Lab, id: &str) -> Vec<PathBuf> {
        // `ID`, `ID.1`, `ID.2`: the higher the older.
        let mut files = by_age(lab.path("logs"), |name| name == id || name.starts_with(&format!("{id}.")));
        let age = |path: &PathBuf| path.extension().and_then(|n| n.to_str()?.parse::<u32>().ok()).unwrap_or(0);
        files.sort_by_key(|path| std::cmp::Reverse(age(path)));
        files
    }
}

/// The two descendants of daemontools: a scanner, and one small parent per service.
pub struct Scanned {
    kind: Scanner,
    pid: u32,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// runsvdir, runsv, svlogd.
    Runit,
    /// s6-svscan, s6-supervise, s6-log.
    S6,
}

impl Scanned {
    /// An adapter of this kind.
    pub fn new(kind: Scanner) -> Scanned {
        Scanned { kind, pid: 0 }
    }

    fn service(&self, lab: &Lab, folder: &str, service: &Service) -> io::Result<()> {
        let (id, line) = (&service.id, service.argv.join(" "));
        lab.write(&format!("{folder}/{id}/run"), &format!("#!/bin/sh\nexec {line}\n"), 0o755)?;
        if !service.is_logged {
            return Ok(());
        }
        let logs = show(&lab.path("logs").join(id));
        let logger = match self.kind {
            Scanner::Runit => {
                lab.write(&format!("logs/{id}/config"), "s100000000\nn20\n", 0o644)?;
                format!("{} {logs}", tool("svlogd"))
            }
            Scanner::S6 => format!("{} n20 s100000000 {logs}", tool("s6-log")),
        };
        lab.write(&format!("{folder}/{id}/log/run"), &format!("#!/bin/sh\nexec {logger}\n"), 0o755)
    }
}

impl Peer for Scanned {
    fn name(&self) -> &'static str {
        match self.kind {
            Scanner::Runit => "runit",
            Scanner::S6 => "s6",
        }
    }

    fn configure(&mut self, lab: &Lab, services: &[Service]) -> io::Result<()> {
        fs::create_dir_all(lab.path("sv"))?;
        services.iter().try_for_each(|service| self.service(lab, "sv", service))
    }

    fn start(&mut self, lab: &mut Lab) -> io::Result<()> {
        let folder = show(&lab.path("sv"));
        let argv = match self.kind {
            Scanner::Runit => vec![tool("runsvdir"), folder],
            Scanner::S6 => words(&[&tool("s6-svscan"), "-c", "3000", &folder]),
        };
        // runsvdir looks for runsv along PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        let tools = PathBuf::from(tool("runsv")).parent().map(show).unwrap_or_default();
        self.pid = lab.spawn(&argv, &[("PATH", format!("{tools}:{path}"))])?;
        Ok(())
    }

    fn add(&mut self, lab: &mut Lab, service: &Service) -> io::Result<()> {
        // Made aside and renamed into place, so that the scanner never sees a half-made folder.
        self.service(lab, "aside", service)?;
        let folder = show(&lab.path("sv"));
        fs::rename(lab.path("aside").join(&service.id), lab.path("sv").join(&service.id))?;
        match self.kind {
            // runsvdir finds it in its own scan, every five seconds.
            Scanner::Runit => Ok(()),
            Scanner::S6 => lab.call(&words(&[&tool("s6-svscanctl"), "-a", &folder]), &[]),
        }
    }

    fn stop_all(&mut self, lab: &mut Lab) -> io::Result<()> {
        match self.kind {
            // Documented: on HUP runsvdir sends TERM to every runsv and exits.
            Scanner::Runit => {
                signal(self.pid, Signal::HUP).then_some(()).ok_or_else(|| io::Error::other("runsvdir is gone"))
            }
            Scanner::S6 => lab.call(&words(&[&tool("s6-svscanctl"), "-t", &show(&lab.path("sv"))]), &[]),
        }
    }

    fn supervisor(&self) -> u32 {
        self.pid
    }

    fn log_files(&self, lab: &Lab, id: &str) -> Vec<PathBuf> {
        // Rotated files carry a stamp after `@`, which sorts by time; `current` is the newest.
        let mut files = by_age(lab.path("logs").join(id), |name| name == "current" || name.starts_with('@'));
        files.sort_by_key(|path| (path.ends_with("current"), path.clone()));
        files
    }
}
