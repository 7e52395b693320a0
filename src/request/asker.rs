//! Who makes a request.
//!
//! In: a process. Out: the instance it runs inside of, or the person whose it is. Not here: what either may ask.
//! The surprise: neither its environment nor its arguments count. A process is inside an instance when the birth record
//! of that instance names one of its ancestors by pid and start time.

use std::fmt;

use crate::engine::InstanceId;
use crate::home::Home;
use crate::observe::proc::from;
use crate::observe::{ProcTable, Process, Table, records};
use crate::record::argv;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A process of an instance.
    Instance {
        /// The instance.
        id: InstanceId,
        /// Its attempt.
        attempt: u32,
    },
    /// Somebody, by name.
    Person(String),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Instance { id, attempt: _ } => write!(f, "{id}"),
            Asker::Person(name) => f.write_str(name),
        }
    }
}

impl Asker {
    /// Who this process is, for a home.
    #[must_use]
    pub fn of(home: &Home, pid: u32) -> Asker {
        let shim = from(pid).iter().find_map(|process| shim(home, &ProcTable, process));
        let person = || Asker::Person(crate::desired::principal());
        shim.map_or_else(person, |(id, attempt)| Asker::Instance { id, attempt })
    }
}

/// The instance and attempt of a process, if it is the shim that their birth record names.
fn shim(home: &Home, table: &dyn Table, process: &Process) -> Option<(InstanceId, u32)> {
    if !argv::is_comm(process.name.as_bytes()) {
        return None;
    }
    let bytes = table.argv(process.pid)?;
    let said = argv::parse(&bytes).filter(|said| said.home == home.id())?;
    let id: InstanceId = said.instance.parse().ok()?;
    let birth = records::attempt_of(&home.records(&id), said.attempt).ok()??.birth?;
    let is_named = birth.home == home.id() && birth.shim_pid == process.pid && birth.shim_started == process.started;
    is_named.then_some((id, birth.attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::table::{Listing, ProcessState};
    use crate::record::attempt::{self, Birth, Streak};

    /// A table in which every process calls itself the same.
    struct Liars(Vec<u8>);

    impl Table for Liars {
        fn list(&self, _: &dyn Fn(u32) -> bool) -> Listing {
            Listing { coverage: crate::engine::Coverage::Whole, processes: std::collections::BTreeMap::new() }
        }
        fn process(&self, _: u32) -> Option<Process> {
            None
        }
        fn argv(&self, _: u32) -> Option<Vec<u8>> {
            Some(self.0.clone())
        }
        fn environ(&self, _: u32) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn only_the_process_that_the_birth_record_names_is_believed() {
        let folder = tempfile::tempdir().expect("there is room");
        let home = Home::open(Some(&folder.path().join("home"))).expect("it can be made");
        let id: InstanceId = "service/web/0".parse().expect("a name");
        let birth = Birth {
            home: home.id().to_owned(),
            instance: id.to_string(),
            uid: "5f1c".to_owned(),
            attempt: 3,
            revision: "1:9f86d081884c7d65".to_owned(),
            generation: 1,
            boot_id: "b".to_owned(),
            shim_pid: 4711,
            shim_started: 99,
            payload_pid: 4712,
            payload_started: 100,
            started_boot_ns: 1,
            started_wall_ns: 1,
            streak: Streak { n: 0, deaths: 0, crashes: 0, proven: false },
            log_file: 1,
            log_offset: 0,
        };
        let records = home.records(&id);
        std::fs::create_dir_all(&records).expect("it can be made");
        attempt::create(std::fs::File::open(&records).expect("it is there"), &birth).expect("it can be written");
        let process = |pid, started, name: &str| Process {
            pid,
            parent: 1,
            session: pid,
            started,
            name: name.into(),
            state: ProcessState::Alive,
        };
        let said = |instance: &str, attempt, home: &str| {
            let argv = argv::Argv { instance, attempt, revision: "1:9f86d081884c7d65", home };
            Liars(format!("setpoint\0{}\0", argv.words().join("\0")).into_bytes())
        };
        let table = [
            (said("service/web/0", 3, home.id()), process(4711, 99, "sp-ready"), true),
            (said("service/web/0", 3, home.id()), process(4711, 98, "sp-ready"), false),
            (said("service/web/0", 3, home.id()), process(4710, 99, "sp-ready"), false),
            (said("service/web/0", 3, home.id()), process(4711, 99, "bash"), false),
            (said("service/web/0", 2, home.id()), process(4711, 99, "sp-ready"), false),
            (said("service/db/0", 3, home.id()), process(4711, 99, "sp-ready"), false),
            (said("service/web/0", 3, "0000000000000000"), process(4711, 99, "sp-ready"), false),
        ];
        for (table, process, expected) in table {
            let found = shim(&home, &table, &process);
            assert_eq!(found, expected.then(|| (id.clone(), 3)), "{process:?}");
        }
    }
}
