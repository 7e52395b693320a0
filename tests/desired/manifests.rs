//! From real files to proposals: sets of folders, single files, and live folders in every state.

use std::path::Path;

use expect_test::expect;
use setpoint::desired::live::{Folder, plan};
use setpoint::desired::manifests::{batch, live_folder};
use setpoint::desired::{Origin, Stored};
use setpoint::load::{Cache, LoadContext, load, load_folder};

use super::script::World;

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(file), text).unwrap();
}

#[test]
fn a_folder_is_a_whole_set_and_files_are_parts() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().canonicalize().unwrap();
    write(&root.join("f"), "web.yaml", "{kind: Service, name: web, run: a}\n---\n{kind: Service, name: db, run: a}");
    write(&root.join("f"), "x.yaml", "{kind: Service, name: x, run: a}");
    write(&root.join("g"), "setpoint.yaml", "set: mine");
    write(&root.join("g"), "y.yaml", "{kind: Service, name: y, run: a}");
    let mut text = String::new();
    for args in [vec!["f"], vec!["g"], vec!["f/web.yaml", "g/y.yaml"], vec!["f", "g"], vec!["f", "g/y.yaml"]] {
        let paths: Vec<_> = args.iter().map(|arg| root.join(arg)).collect();
        let loaded = load(&paths, &LoadContext { folder: root.clone() }).unwrap();
        text.push_str(&format!("{}\n", args.join(" ")));
        match batch(&loaded) {
            Err(error) => text.push_str(&format!("  error: {error}\n")),
            Ok(batch) => {
                for proposal in &batch.proposals {
                    let origin = match &batch.origins[proposal.origin] {
                        Origin::Folder { path, set } => format!("folder {} set {set:?}", path.display()),
                        Origin::File { path } => format!("file {}", path.display()),
                        Origin::Stdin => String::from("stdin"),
                    };
                    text.push_str(&format!("  {} of {origin}\n", proposal.id));
                }
            }
        }
    }
    expect![[r#"
        f
          service/web of folder $T/f set Some("$T/f")
          service/db of folder $T/f set Some("$T/f")
          service/x of folder $T/f set Some("$T/f")
        g
          service/y of folder $T/g set Some("mine")
        f/web.yaml g/y.yaml
          service/web of file $T/f/web.yaml
          service/db of file $T/f/web.yaml
          service/y of file $T/g/y.yaml
        f g
          error: folders of several sets, or folders and single files, cannot be applied as one
          help: apply them one after the other
        f g/y.yaml
          error: folders of several sets, or folders and single files, cannot be applied as one
          help: apply them one after the other
    "#]]
    .assert_eq(&text.replace(root.to_str().unwrap(), "$T"));
}

#[test]
fn a_live_folder_is_read_as_far_as_it_can_be() {
    let world = World::new();
    let root = world.folder.path().canonicalize().unwrap();
    let folder = root.join("f");
    let mut text = String::new();
    let mut look = |what: &str, base: &Stored| -> Folder {
        let live = live_folder(base, folder.clone(), &load_folder(&folder, &mut Cache::default()), false);
        let ids = &live.proposals;
        let line = format!("{what}: {:?}, set {} of {}\n", live.listing, live.set, ids.len());
        text.push_str(&line.replace(root.to_str().unwrap(), "$T"));
        live
    };
    look("missing", &Stored::empty());
    write(&folder, "setpoint.yaml", "set: mine");
    write(&folder, "web.yaml", "{kind: Service, name: web, run: a}");
    write(&folder, "db.yaml", "{kind: Service, name: db, run: a}");
    let live = look("whole", &Stored::empty());
    let mut locked = world.store.lock(&|_| ()).unwrap();
    let next = plan(locked.base(), &[live], &[].into(), &|_| [].into()).unwrap();
    let stored = locked.commit(next.draft.unwrap()).unwrap();
    write(&folder, "db.yaml", "{kind: Service, nam: db}");
    look("a broken file", &stored);
    write(&folder, "db.yaml", "{kind: Service, name: db, run: a}");
    write(&folder, "setpoint.yaml", "sat: mine");
    look("a broken set", &stored);
    std::fs::remove_dir_all(&folder).unwrap();
    look("gone", &stored);
    write(&folder, "setpoint.yaml", "set: other");
    write(&folder, "web.yaml", "{kind: Service, name: web, run: a}");
    write(&folder, "db.yaml", "{kind: Service, name: db, run: a}");
    let live = look("another name", &stored);
    let next = plan(&stored, &[live], &[].into(), &|_| [].into()).unwrap();
    for change in &next.changes {
        text.push_str(&format!("  {:?} {}: {}\n", change.action, change.object, change.reason));
    }
    assert_eq!(next.warnings, [] as [String; 0]);
    expect![[r#"
        missing: Unreadable { why: "this folder cannot be read: No such file or directory (os error 2)" }, set $T/f of 0
        whole: Whole, set mine of 2
        a broken file: Broken, set mine of 1
        a broken set: Broken, set mine of 2
        gone: Unreadable { why: "this folder cannot be read: No such file or directory (os error 2)" }, set mine of 0
        another name: Whole, set other of 2
          Change service/db: taken over from the set "mine"
          Change service/web: taken over from the set "mine"
    "#]]
    .assert_eq(&text);
}
