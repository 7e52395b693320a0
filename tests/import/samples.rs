//! Files as people have them, and what becomes of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use serde_json::Value;
use setpoint::import::{Around, FORMATS, Format, Imported, Key, import};
use setpoint::load::{Form, LoadContext, Problems, load_text};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

/// Two folders below the samples, so that relative paths show.
fn around(docker: bool) -> Around {
    Around { target: samples().join("manifests"), home: Some(PathBuf::from("/home/ada")), docker, system: false }
}

/// The samples of a format: those that are broken, and those that are not.
fn files(format: &Format) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = fs::read_dir(samples().join(format.name)).expect("a folder of samples");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.is_file() && path.extension().is_none_or(|end| end != "golden"));
    files.sort();
    files.into_iter().partition(|path| name(path).starts_with("broken"))
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn golden(path: &Path, more: &str) -> PathBuf {
    path.with_file_name(format!("{}{more}.golden", name(path)))
}

/// Without the folder this runs in.
fn placeless(text: &str) -> String {
    text.replace(samples().to_str().expect("utf-8"), "$SAMPLES")
}

fn documents(imported: &Imported) -> String {
    imported.drafts.iter().map(setpoint::import::Draft::yaml).collect::<Vec<_>>().join("---\n")
}

/// Everything that is promised of any import.
fn check(imported: &Imported, what: &str) {
    let yaml = documents(imported);
    let context = LoadContext { folder: samples() };
    let loaded = load_text(yaml.as_bytes(), Form::Yaml, &context);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{what} does not load:\n{yaml}\n{problems}"));
    assert_eq!(loaded.manifests.len(), imported.drafts.len(), "{what}");
    for (manifest, draft) in loaded.manifests.iter().zip(&imported.drafts) {
        // What is a default is not in the canonical spec, so it must not be in what was written.
        let written: Value = serde_yaml::from_str(&draft.yaml()).expect("YAML");
        let heads = ["kind", "name", "labels", "annotations"];
        let fields = written.as_object().expect("a map").iter().filter(|(field, _)| !heads.contains(&field.as_str()));
        for (field, value) in fields {
            kept(value, manifest.spec.get(field), &format!("{what}: {}: {field}", draft.name));
        }
    }
    for source in &imported.sources {
        for leaf in Key::root(source).leaves().iter().filter(|leaf| !leaf.path.is_empty()) {
            let count = imported.report.covering(leaf);
            assert_eq!(count, 1, "{what}: {:?} is accounted for {count} times", leaf.path);
        }
    }
}

/// Every field that is written is still there in what was loaded.
fn kept(written: &Value, loaded: Option<&Value>, at: &str) {
    let loaded = loaded.unwrap_or_else(|| panic!("{at} is written, and is a default"));
    if let (Value::Object(written), Value::Object(loaded)) = (written, loaded) {
        written.iter().for_each(|(field, value)| kept(value, loaded.get(field), &format!("{at}.{field}")));
    }
}

#[test]
fn samples_become_what_their_goldens_say() {
    for format in FORMATS {
        let (_, files) = files(format);
        assert!(files.len() >= 2, "{} has too few samples", format.name);
        for path in files {
            let imported = import(format, std::slice::from_ref(&path), &around(false)).expect("a good sample");
            check(&imported, &name(&path));
            let text = format!("{}\n{}", documents(&imported), imported.report.text(false));
            expect_file![golden(&path, "")].assert_eq(&placeless(&text));
        }
    }
}

#[test]
fn broken_files_say_where() {
    for format in FORMATS {
        let (broken, _) = files(format);
        assert!(!broken.is_empty(), "{} has no broken sample", format.name);
        for path in broken {
            let list = import(format, std::slice::from_ref(&path), &around(false)).expect_err("broken");
            assert!(list.iter().all(|problem| !problem.message.is_empty() && !problem.help.is_empty()), "{list:?}");
            let problems = Problems { list, omitted: 0, files_broken: 1, files: 1 };
            let text: Vec<String> = problems.render(false).lines().map(|line| line.trim_end().to_owned()).collect();
            expect_file![golden(&path, "")].assert_eq(&placeless(&format!("{}\n", text.join("\n"))));
        }
    }
}

#[test]
fn images_become_containers_when_asked_for() {
    let format = setpoint::import::find("compose").expect("compose");
    for name in ["compose.yaml", "nasty.yaml"] {
        let path = samples().join("compose").join(name);
        let imported = import(format, std::slice::from_ref(&path), &around(true)).expect("a good sample");
        check(&imported, name);
        let text = format!("{}\n{}", documents(&imported), imported.report.text(false));
        expect_file![golden(&path, ".docker")].assert_eq(&placeless(&text));
    }
}

#[test]
fn units_that_are_imported_together_need_each_other() {
    let format = setpoint::import::find("systemd").expect("systemd");
    let files: Vec<PathBuf> =
        ["shop-api.service", "shop-db.service"].iter().map(|name| samples().join("systemd").join(name)).collect();
    let imported = import(format, &files, &around(false)).expect("good samples");
    check(&imported, "two units");
    assert!(documents(&imported).contains("needs: [shop-db]"), "{}", documents(&imported));
}

#[test]
fn timers_make_cron_jobs_of_what_they_start() {
    let format = setpoint::import::find("systemd").expect("systemd");
    // The order of files makes no difference.
    let pairs = [("backup.timer", "backup.service"), ("sweep.timer", "nasty@one.service")];
    for (timer, service) in pairs {
        let files: Vec<PathBuf> = [timer, service].iter().map(|name| samples().join("systemd").join(name)).collect();
        let imported = import(format, &files, &around(false)).expect("good samples");
        check(&imported, timer);
        let text = format!("{}\n{}", documents(&imported), imported.report.text(false));
        expect_file![golden(&files[0], ".pair")].assert_eq(&placeless(&text));
        assert!(text.starts_with("# ") && text.contains("kind: CronJob\n"), "{text}");
    }
}

#[test]
fn paths_make_triggers_of_what_they_start() {
    let format = setpoint::import::find("systemd").expect("systemd");
    let files: Vec<PathBuf> =
        ["drop.path", "drop.service"].iter().map(|name| samples().join("systemd").join(name)).collect();
    let imported = import(format, &files, &around(false)).expect("good samples");
    check(&imported, "a path");
    let text = format!("{}\n{}", documents(&imported), imported.report.text(false));
    expect_file![golden(&files[0], ".pair")].assert_eq(&placeless(&text));
    assert!(text.contains("kind: Trigger\n") && !text.contains("kind: Job\n"), "{text}");
}

#[test]
fn what_is_started_by_a_failure_is_a_trigger_on_it() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let ends = "[Service]\nType=oneshot\nExecStart=/srv/alert\n";
    let files = [
        write("web.service", "[Unit]\nOnFailure=alert.service\n[Service]\nRestart=always\nExecStart=/web\n"),
        write("backup.service", "[Unit]\nOnFailure=alert.service\n[Service]\nType=oneshot\nExecStart=/backup\n"),
        write("once.service", "[Unit]\nOnFailure=alert.service\n[Service]\nExecStart=/once\n"),
        write("odd.service", "[Unit]\nOnFailure=mail@%n.service web.service\n[Service]\nExecStart=/odd\n"),
        write("loud.service", "[Unit]\nOnFailure=web.service\n[Service]\nRestart=always\nExecStart=/loud\n"),
        write("alert.service", ends),
    ];
    let imported = import(setpoint::import::find("systemd").expect("systemd"), &files, &around(false)).expect("good");
    check(&imported, "failures");
    let alert = imported.drafts.iter().find(|draft| draft.name == "alert").expect("alert").yaml();
    for line in [
        "kind: Trigger\n",
        "event: [job.failed, service.gave-up]\n",
        "when: event.object == 'service/web' || event.object == 'job/backup'\n",
        "run: /srv/alert\n",
        "retry: { times: 0 }\n",
    ] {
        assert!(alert.contains(line), "{line} in {alert}");
    }
    let report = imported.report.text(false);
    for said in [
        "approximated  Unit.OnFailure -> trigger of alert (",
        "an end of a service that is not started again is no failure here",
        "what it names is not imported with it",
        "what it names is no unit that ends by itself",
    ] {
        assert!(report.contains(said), "{said} in {report}");
    }
}

#[test]
fn what_needs_a_unit_that_ends_waits_for_its_end() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let files = [
        write(
            "web.service",
            "[Unit]\nRequires=migrate.service tidy.service\nAfter=migrate.service\n[Service]\nExecStart=/web\n",
        ),
        write("migrate.service", "[Service]\nType=oneshot\nExecStart=/migrate\n"),
        write("tidy.service", "[Service]\nType=oneshot\nExecStart=/tidy\n"),
        write("tidy.timer", "[Timer]\nOnCalendar=hourly\n"),
    ];
    let imported = import(setpoint::import::find("systemd").expect("systemd"), &files, &around(false)).expect("good");
    check(&imported, "needs");
    let yaml = documents(&imported);
    assert!(yaml.contains("needs: [{ name: job/migrate, until: done }]"), "{yaml}");
    assert!(imported.report.text(false).contains("became no service and no job"), "{}", imported.report.text(false));
}

#[test]
fn names_stay_apart() {
    let format = setpoint::import::find("supervisord").expect("supervisord");
    let path = samples().join("supervisord/supervisord.conf");
    let again = samples().join("supervisord/nasty.conf");
    let imported = import(format, &[path.clone(), again, path], &around(false)).expect("good samples");
    let names: BTreeSet<&str> = imported.drafts.iter().map(|draft| &*draft.name).collect();
    assert_eq!(names.len(), imported.drafts.len(), "{names:?}");
}
