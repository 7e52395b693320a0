//! How a payload is started, or not, and what is recorded of it.

use rustix::process::Signal;
use setpoint::record::answer::{Answer, Stage};
use setpoint::record::attempt::{How, Streak};

use crate::support::{HOME_ID, Home, comm, is_alive, send, until};

#[test]
fn a_start_is_recorded_and_answered() {
    let home = Home::new();
    let (shim, payload) = home.start(&["sleep", "1000"]).up();
    let (birth, end) = home.record(1);
    assert_eq!((birth.shim_pid, birth.shim_started), (shim.pid, shim.started));
    assert_eq!((birth.payload_pid, birth.payload_started), (payload.pid, payload.started));
    assert_eq!((birth.home.as_str(), birth.instance.as_str()), (HOME_ID, "service/web/0"));
    assert_eq!((birth.uid.as_str(), birth.revision.as_str(), birth.generation), ("uid-1", "1:abcd", 7));
    assert_eq!(birth.streak, Streak { n: 2, deaths: 3, crashes: 4, proven: true });
    assert_eq!((birth.log_file, birth.log_offset), (1, 0));
    assert_eq!(end, None);
    assert!(is_alive(shim.pid) && is_alive(payload.pid));
    send(payload.pid, Signal::KILL);
    assert_eq!(home.end(1).how, How::Signal(9));
}

#[test]
fn a_missing_program_is_recorded_as_never_executed() {
    let home = Home::new();
    let answer = home.start(&["no-such-program"]).go();
    let text = "no-such-program: No such file or directory".to_owned();
    assert_eq!(answer, Some(Answer::Failed { stage: Stage::Exec, errno: 2, text: text.clone() }));
    assert_eq!(home.end(1).how, How::NotStarted(format!("exec {text}")));
    until("nobody is left", || home.processes().is_empty());
    let _ = comm;
}
