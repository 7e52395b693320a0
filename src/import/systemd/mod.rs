//! systemd service units, their timers and their paths.
//!
//! In: `.service`, `.timer` and `.path` files, or a folder of them. Out: a Service per unit; a CronJob for one that a timer
//! starts, a Trigger for one that a path starts, and a Job for another that ends by itself. Not here: sockets; drop-ins,
//! which `systemctl cat` merges.
//!
//! What a unit leaves unsaid is written down where it matters: `Restart=no`, 90 s to stop, and `/` as its folder.
//! systemd signals every process of a unit, so `run` is a line, whose group is signalled; with `KillMode=process` or
//! `mixed` it is a list.
//! The surprise: `After=` alone orders two starts and `needs` waits for one, so only units imported together become needs.

mod calendar;
mod exec;
pub mod failure;
mod keys;
mod path;
mod rules;
mod timer;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use self::keys::{INSTALL, SERVICE, UNIT};
use super::source::{Key, Node};
use super::work::Work;
use super::{Format, Import, ini};
use crate::kind::{job, service};
use crate::load::Problem;

/// The line in [`super::FORMATS`].
pub const FORMAT: Format = Format {
    name: "systemd",
    about: "units of systemd: .service, .timer and .path files, or a folder of them",
    files: &["*.service", "*.timer", "*.path"],
    read,
    import,
};

fn read(file: &Arc<str>, text: &str) -> Result<Node, Vec<Problem>> {
    let node = ini::read(ini::Dialect::Systemd, file, text)?;
    if ["Service", "Timer", "Path"].iter().all(|section| Key::root(&node).get(section).is_none()) {
        let help = "sockets, mounts and the like cannot be imported";
        return Err(vec![Problem::of_file(file, "there is no section [Service], [Timer] or [Path] in it", help)]);
    }
    Ok(node)
}

fn import(import: &mut Import<'_>, root: &Key<'_>) {
    let stem = import.stem.clone();
    let Some(section) = root.get("Service") else {
        return if root.get("Path").is_some() { path::import(import, root) } else { timer::import(import, root) };
    };
    if stem.ends_with('@') {
        let why = "this is a template: copy it to NAME@INSTANCE.service, and import that";
        return import.report.drop_rest("", root, why);
    }
    let is_user = import.folder.components().any(|part| part.as_os_str() == "user")
        || root.get("Install").is_some_and(|install| install.text_of("WantedBy") == Some("default.target"));
    let ends = section.get("Type").is_some_and(|kind| kind.text() == Some("oneshot"));
    let kind = if ends { &job::DEF } else { &service::DEF };
    let mut work = import.object(kind, &stem.replace('@', "-"), &section);
    work.units.insert(stem.clone(), work.draft.name.clone());
    work.section = root.clone();
    work.vars = specifiers(&work, &stem);
    let home = work.around.home.as_ref().filter(|_| is_user).map(|home| home.display().to_string());
    // Where a unit starts when it does not say so. Relative paths in units are relative to that, too.
    let dir = home.unwrap_or_else(|| "/".to_owned());
    work.draft.set("dir", json!(dir));
    if !ends {
        work.draft.set("restart", json!("never"));
    }
    work.draft.set("stop.grace", json!("90s"));
    if let Some(unit) = root.get("Unit") {
        work.apply(UNIT, &unit);
    }
    if let Some(install) = root.get("Install") {
        work.apply(INSTALL, &install);
    }
    if exec::command(&mut work, &section) {
        work.apply(SERVICE, &section);
        work.finish();
    } else {
        work.report.drop_rest("", root, "a unit without an ExecStart that can be read is no service");
    }
}

/// What `%n` and the like stand for.
fn specifiers(work: &Work<'_>, stem: &str) -> BTreeMap<&'static str, String> {
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut vars: BTreeMap<&'static str, String> = [
        ("n", format!("{stem}.service")),
        ("N", stem.to_owned()),
        ("p", prefix.to_owned()),
        ("P", prefix.to_owned()),
        ("i", instance.to_owned()),
        ("I", instance.replace("\\x2d", "-")),
        ("%", "%".to_owned()),
        ("t", "/run".to_owned()),
        ("S", "/var/lib".to_owned()),
        ("C", "/var/cache".to_owned()),
        ("L", "/var/log".to_owned()),
        ("E", "/etc".to_owned()),
        ("T", "/tmp".to_owned()),
        ("V", "/var/tmp".to_owned()),
    ]
    .into();
    if let Some(home) = &work.around.home {
        vars.insert("h", home.display().to_string());
    }
    vars
}

/// Text with its specifiers put in; `None` when one is not known here.
#[must_use]
pub fn specified(work: &Work<'_>, text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let letter = after.get(..1)?;
        out.push_str(work.vars.get(letter)?);
        rest = after.get(1..)?;
    }
    out.push_str(rest);
    Some(out)
}
