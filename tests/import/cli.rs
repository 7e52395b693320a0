//! The verb as people type it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    command.args(args).current_dir(dir).env("HOME", dir).stdin(Stdio::null());
    command.output().expect("setpoint")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().expect("a folder");
    fs::write(folder.path().join("Procfile"), "web: npm start\nworker: ./work --hard\n").expect("Procfile");
    folder
}

#[test]
fn what_is_printed_can_be_validated_as_it_is() {
    let folder = folder();
    let done = run(folder.path(), &["import", "Procfile"]);
    assert_eq!(code(&done), 0, "{}", err(&done));
    assert!(out(&done).starts_with("# yaml-language-server: $schema="), "{}", out(&done));
    assert!(err(&done).contains("2 keys: 2 mapped, 0 approximated, 0 dropped."), "{}", err(&done));
    fs::write(folder.path().join("all.yaml"), &done.stdout).expect("all.yaml");
    let valid = run(folder.path(), &["validate", "-f", "all.yaml"]);
    assert_eq!(code(&valid), 0, "{}", err(&valid));
}

#[test]
fn a_folder_gets_a_file_each_and_keeps_what_it_has() {
    let folder = folder();
    let dir = folder.path();
    let done = run(dir, &["import", "procfile", "Procfile", "-o", "manifests"]);
    assert_eq!(code(&done), 0, "{}", err(&done));
    assert_eq!(out(&done), "wrote manifests/web.yaml\nwrote manifests/worker.yaml\n");
    let web = fs::read_to_string(dir.join("manifests/web.yaml")).expect("web.yaml");
    assert!(web.contains("\ndir: ..\n"), "relative to where it stands now: {web}");
    assert!(dir.join("manifests/.setpoint.schema.json").is_file());
    assert_eq!(code(&run(dir, &["validate", "-f", "manifests"])), 0);

    fs::write(dir.join("manifests/worker.yaml"), "mine").expect("edited");
    fs::remove_file(dir.join("manifests/web.yaml")).expect("removed");
    let refused = run(dir, &["import", "Procfile", "-o", "manifests"]);
    assert_eq!(code(&refused), 5, "{}", err(&refused));
    assert!(err(&refused).contains("worker.yaml exists"), "{}", err(&refused));
    assert!(!dir.join("manifests/web.yaml").exists(), "all or nothing");
    assert_eq!(fs::read_to_string(dir.join("manifests/worker.yaml")).expect("kept"), "mine");

    let forced = run(dir, &["import", "Procfile", "-o", "manifests", "--force"]);
    assert_eq!(code(&forced), 0, "{}", err(&forced));
    assert!(fs::read_to_string(dir.join("manifests/worker.yaml")).expect("new").contains("./work --hard"));
}

#[test]
fn the_report_is_for_programs_too_and_names_no_value() {
    let folder = folder();
    let conf = "[program:web]\ncommand=web\nenvironment=TOKEN=\"hunter2\",DSN=\"x%(ENV_A)s\"\nfunny=hunter3\n";
    fs::write(folder.path().join("supervisord.conf"), conf).expect("supervisord.conf");
    let done = run(folder.path(), &["import", "supervisord.conf", "--report", "json"]);
    assert_eq!(code(&done), 0, "{}", err(&done));
    let report: serde_json::Value = serde_json::from_str(&err(&done)).expect("JSON on stderr");
    let keys = report["keys"].as_array().expect("keys");
    let fate = |key: &str| keys.iter().find(|line| line["key"] == key).map(|line| line["fate"].clone());
    assert_eq!(fate("program:web.command"), Some("mapped".into()));
    assert_eq!(fate("program:web.environment"), Some("approximated".into()));
    assert_eq!(fate("program:web.funny"), Some("dropped".into()));
    assert_eq!(report["summary"]["dropped"], 1);
    let text = run(folder.path(), &["import", "supervisord.conf"]);
    assert!(!err(&done).contains("hunter") && !err(&text).contains("hunter"), "{}", err(&text));
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let folder = folder();
    let dir = folder.path();
    fs::write(dir.join("empty.conf"), "").expect("empty");
    fs::write(dir.join("broken.service"), "[Service\n").expect("broken");
    fs::create_dir(dir.join("mayor")).expect("mayor");
    fs::write(dir.join("mayor/daemon.json"), r#"{ "patrols": {} }"#).expect("daemon.json");
    for (args, exit, said) in [
        (&["import", "nonsense"][..], 2, "is no format"),
        (&["import", "gastown", "x"], 2, "no such file"),
        (&["import", "aiwg"], 2, "name the file"),
        (&["import", "work-buddy", "Procfile"], 2, "Procfile"),
        (&["import", "daemon.json"], 2, "is no format"),
        (&["import", "aiwg", "mayor/daemon.json"], 2, "nothing of a daemon of AIWG"),
        (&["import", "crontab"], 2, "name the file"),
        (&["import", "supervisord"], 2, "name the file"),
        (&["import", "procfile", "missing"], 2, "no such file"),
        (&["import", "broken.service"], 2, "broken.service:1:1"),
        (&["import", "supervisord", "empty.conf"], 1, "Nothing imported"),
        (&["import"], 2, "FORMAT|FILE"),
    ] {
        let done = run(dir, args);
        assert_eq!(code(&done), exit, "{args:?}: {}", err(&done));
        assert!(err(&done).contains(said), "{args:?}: {}", err(&done));
        assert_eq!(out(&done), "", "{args:?}");
    }
}

#[test]
fn a_folder_of_units_is_imported_as_one() {
    let folder = folder();
    let dir = folder.path();
    fs::create_dir(dir.join("units")).expect("units");
    fs::write(dir.join("units/a.service"), "[Unit]\nAfter=b.service\nRequires=b.service\n[Service]\nExecStart=/a\n")
        .expect("a");
    fs::write(dir.join("units/b.service"), "[Service]\nExecStart=/b\n").expect("b");
    fs::write(dir.join("units/c.socket"), "[Socket]\nListenStream=80\n").expect("c");
    for args in [&["import", "units"][..], &["import", "systemd", "units"]] {
        let done = run(dir, args);
        assert_eq!(code(&done), 0, "{}", err(&done));
        assert!(err(&done).contains("not imported from units: `c.socket`"), "{}", err(&done));
        assert!(out(&done).contains("needs: [b]"), "{}", out(&done));
        assert_eq!(out(&done).matches("kind: Service").count(), 2);
    }
    let empty = run(dir, &["import", "pm2", "units"]);
    assert_eq!(code(&empty), 2, "{}", err(&empty));
    assert!(err(&empty).contains("has no file of pm2"), "{}", err(&empty));
}

#[test]
fn needs_in_a_circle_are_said_and_not_swallowed() {
    let folder = folder();
    let dir = folder.path();
    let toml = "[daemons.a]\nrun = \"a\"\ndepends = [\"b\"]\n[daemons.b]\nrun = \"b\"\ndepends = [\"a\"]\n";
    fs::write(dir.join("pitchfork.toml"), toml).expect("pitchfork.toml");
    let done = run(dir, &["import", "pitchfork.toml"]);
    fs::write(dir.join("all.yaml"), &done.stdout).expect("all.yaml");
    // Whatever the loader says of it, the import says the same.
    let valid = run(dir, &["validate", "-f", "all.yaml"]);
    assert_eq!(code(&done) == 0, code(&valid) == 0, "{}\n{}", err(&done), err(&valid));
    assert_eq!(out(&done).matches("needs:").count(), 2, "{}", out(&done));
}

#[test]
fn a_crontab_from_a_pipe_or_of_the_system_becomes_cron_jobs() {
    let folder = folder();
    let dir = folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_setpoint"));
    command.args(["import", "crontab", "-"]).current_dir(dir).env("HOME", dir);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("setpoint");
    let text = b"0 3 * * * ./backup.sh\n5/15 * * * * ./other.sh\n";
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), text).expect("written");
    let done = child.wait_with_output().expect("ended");
    assert_eq!(code(&done), 0, "{}", err(&done));
    assert!(out(&done).contains("kind: CronJob\nname: backup\nschedule: \"0 3 * * *\"\n"), "{}", out(&done));
    assert!(err(&done).contains("(<stdin>:2): its minute, column 1: `5/15`"), "{}", err(&done));
    assert!(err(&done).contains("1 cronjob imported."), "{}", err(&done));

    fs::create_dir(dir.join("cron.d")).expect("cron.d");
    fs::write(dir.join("cron.d/tidy"), "0 4 * * * www-data ./tidy.sh\n").expect("tidy");
    fs::write(dir.join("mine"), "0 4 * * * www-data ./tidy.sh\n").expect("mine");
    for args in [&["import", "cron.d"][..], &["import", "crontab", "mine", "--system"]] {
        let done = run(dir, args);
        assert_eq!(code(&done), 0, "{}", err(&done));
        assert!(out(&done).contains("run: ./tidy.sh\n") && out(&done).contains("user: www-data\n"), "{}", out(&done));
    }
    let done = run(dir, &["import", "cron.d", "-o", "manifests"]);
    assert_eq!(code(&done), 0, "{}", err(&done));
    assert_eq!(code(&run(dir, &["validate", "-f", "manifests"])), 0);
}

/// The daemons of other systems, in folders as they have them, and what of it is there then.
#[test]
fn daemons_of_other_systems_become_objects_that_load_and_diff() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    for (sample, place, format, objects) in [
        ("aiwg/daemon.json", ".aiwg/daemon.json", None, &["cronjob/health-check", "trigger/watch-src"][..]),
        ("aiwg/rules.json", ".aiwg/daemon.json", None, &["trigger/triage", "cronjob/morning"]),
        ("gastown/daemon.json", "mayor/daemon.json", None, &["service/dolt-server", "cronjob/wisp-reaper"]),
        ("gastown/config.json", "daemon/config.json", None, &["cronjob/heartbeat"]),
        ("work-buddy/config.yaml", "config.yaml", Some("work-buddy"), &["service/messaging", "mailbox/work-buddy"]),
    ] {
        let folder = tempfile::TempDir::new().expect("a folder");
        let dir = folder.path();
        let place = Path::new(place);
        fs::create_dir_all(dir.join(place.parent().expect("a folder"))).expect("made");
        fs::copy(samples.join(sample), dir.join(place)).expect("copied");
        let words: Vec<&str> = ["import"].into_iter().chain(format).chain([place.to_str().expect("text")]).collect();
        let done = run(dir, &[&words[..], &["-o", "manifests"]].concat());
        assert_eq!(code(&done), 0, "{sample}: {}", err(&done));
        assert!(!err(&done).contains("hunter"), "{sample}: {}", err(&done));
        let diff = run(dir, &["--home", "home", "diff", "-f", "manifests"]);
        assert_eq!(code(&diff), 1, "{sample}: {}", err(&diff));
        for object in objects {
            assert!(out(&diff).contains(object), "{sample}: {object} in {}", out(&diff));
        }
        assert!(!out(&diff).contains("hunter"), "{sample}: {}", out(&diff));
    }
}

/// Paths of a project are those of the folder above `.aiwg`, and of a town above `mayor`.
#[test]
fn what_a_daemon_runs_starts_in_its_project() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let dir = folder.path();
    for (place, text) in [
        (".aiwg/daemon.json", r#"{ "watch": { "enabled": true, "paths": [".aiwg/", "src/"] } }"#),
        ("mayor/daemon.json", r#"{ "patrols": { "wisp_reaper": { "enabled": true } } }"#),
    ] {
        let place = dir.join(place);
        fs::create_dir(place.parent().expect("a folder")).expect("made");
        fs::write(place, text).expect("written");
    }
    let watches = run(dir, &["import", ".aiwg/daemon.json"]);
    assert!(out(&watches).contains("\nwatch: .aiwg\nignore: [\"working/**\", \"daemon/**\"]\n"), "{}", out(&watches));
    assert!(out(&watches).contains("\nwatch: src\n") && !out(&watches).contains("\ndir: "), "{}", out(&watches));
    let reaper = run(dir, &["import", "mayor/daemon.json", "-o", "manifests"]);
    assert_eq!(code(&reaper), 0, "{}", err(&reaper));
    let text = fs::read_to_string(dir.join("manifests/wisp-reaper.yaml")).expect("wisp-reaper.yaml");
    assert!(text.contains("\ndir: ..\n"), "{text}");
}
