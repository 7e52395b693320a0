//! setpoint's own adapter: nothing but its command line and a folder of manifests.
//!
//! In: services. Out: a controller in the foreground that watches the folder. Not here: any knowledge of its insides;
//! it is measured like the others. The surprise: a new service is nothing but a new file in that folder.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::adapters::{Peer, Service};
use crate::lab::{Lab, show};

/// The product under measurement.
#[derive(Default)]
pub struct Setpoint {
    pid: u32,
    /// Fields that every service has beside its command.
    more: String,
}

impl Setpoint {
    /// One whose services have these fields, too.
    pub fn with(more: String) -> Setpoint {
        Setpoint { pid: 0, more }
    }

    fn argv(lab: &Lab, rest: &[&str]) -> Vec<String> {
        let mut argv = vec![env!("CARGO_BIN_EXE_setpoint").to_owned(), "--home".to_owned(), show(&lab.path("home"))];
        argv.extend(rest.iter().map(|word| (*word).to_owned()));
        argv
    }

    fn manifest(&self, lab: &Lab, service: &Service) -> io::Result<()> {
        let argv: Vec<String> = service.argv.iter().map(|word| format!("{word:?}")).collect();
        let log = if service.is_logged { "log: { maxSize: 100Mi, maxFiles: 20 }\n" } else { "" };
        let more = &self.more;
        let text = format!("kind: Service\nname: {}\nrun: [{}]\n{log}{more}", service.id, argv.join(", "));
        lab.write(&format!("manifests/{}.yaml", service.id), &text, 0o644)
    }
}

impl Peer for Setpoint {
    fn name(&self) -> &'static str {
        "setpoint"
    }

    fn configure(&mut self, lab: &Lab, services: &[Service]) -> io::Result<()> {
        services.iter().try_for_each(|service| self.manifest(lab, service))
    }

    fn start(&mut self, lab: &mut Lab) -> io::Result<()> {
        let argv = Setpoint::argv(lab, &["controller", "run", "-f", &show(&lab.path("manifests"))]);
        self.pid = lab.spawn(&argv, &[])?;
        Ok(())
    }

    fn add(&mut self, lab: &mut Lab, service: &Service) -> io::Result<()> {
        self.manifest(lab, service)
    }

    fn stop_all(&mut self, lab: &mut Lab) -> io::Result<()> {
        lab.call(&Setpoint::argv(lab, &["controller", "stop", "--all"]), &[])
    }

    fn supervisor(&self) -> u32 {
        self.pid
    }

    fn answers(&mut self, lab: &mut Lab) -> bool {
        let argv = Setpoint::argv(lab, &["controller", "status", "-q"]);
        lab.call(&argv, &[]).is_ok()
    }

    fn log_files(&self, lab: &Lab, id: &str) -> Vec<PathBuf> {
        // `CAUSE.NNNNNN.log`, numbered upward and never renamed.
        let folder = lab.path("home").join("logs/service").join(id);
        let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        files.sort();
        files
    }
}
