//! Finds processes that somebody else started and that could be an instance.
//!
//! In: a listing, and a pattern of the command line for each instance. Out: one [`Twin`] per instance.
//! Not here: what is done about it, and whether the instance itself runs.
//! The surprise: nearly everybody who has the words of a command line in their own is somebody else. A shell has them
//! in one argument, a child has them from its parent, our own verbs have them in a manifest; only the topmost process
//! whose whole argument list fits, and that no home has started, counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::proc::{self, Standing};
use super::shims::Look;
use super::table::{Listing, Process, ProcessState, Table};
use crate::engine::expand::Item;
use crate::engine::observed::{Adopted, Member, Twin};
use crate::engine::{Coverage, InstanceId, ProcId, Revision};
use crate::record::argv;

/// The file in the records of an instance that says which process counts as it.
pub const ADOPTED_FILE: &str = "adopted";

/// The most memory one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The longest chain of parents that is followed.
const PARENTS_MAX: usize = 256;

/// How an instance is known that somebody else started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which instance.
    pub id: InstanceId,
    /// The pattern over arguments joined by NUL.
    pattern: Arc<str>,
    /// The same for any item; every process that fits the one fits the other.
    any: Arc<str>,
}

impl Rule {
    /// The rule of one instance: `pattern` as the manifest has it, with the marks of items in it.
    #[must_use]
    pub fn new(id: InstanceId, pattern: &Arc<str>, item: Option<&Item>) -> Rule {
        let Some(item) = item else { return Rule { id, pattern: pattern.clone(), any: pattern.clone() } };
        let escaped = Item { text: regex::escape(&item.text).into(), stem: regex::escape(&item.stem).into() };
        let any = ["{item}", "{stem}", "{name}"].iter().fold(pattern.to_string(), |text, mark| {
            // Any bytes at all: an item may hold line breaks, and an argument what is no text.
            text.replace(mark, "(?s-u:.*)")
        });
        Rule { pattern: escaped.fill(pattern, &id.cause).into(), any: any.into(), id }
    }
}

/// Patterns, compiled once each.
#[derive(Debug, Default)]
pub struct Finder {
    compiled: BTreeMap<Arc<str>, Result<Regex, Arc<str>>>,
}

/// A process whose argument list fits some rule.
struct Candidate<'a> {
    process: &'a Process,
    argv: Vec<u8>,
}

impl Finder {
    /// Who could be each of these instances.
    pub fn find(&mut self, cx: Look<'_>, listing: &Listing, rules: &[&Rule]) -> Vec<(InstanceId, Twin)> {
        if let Some(why) = blind(listing) {
            let unreadable = |rule: &&Rule| (rule.id.clone(), Twin::Unreadable { why: why.clone() });
            return rules.iter().map(unreadable).collect();
        }
        let general: BTreeSet<&Arc<str>> = rules.iter().map(|rule| &rule.any).collect();
        let candidates: Vec<Candidate<'_>> =
            listing.processes.values().filter_map(|process| self.candidate(cx, process, &general)).collect();
        let mut known = BTreeMap::new();
        let twins = rules.iter().map(|rule| (rule.id.clone(), self.twin(cx, &candidates, rule, &mut known)));
        twins.collect()
    }

    /// Forgets the patterns of rules that are gone.
    pub fn keep(&mut self, rules: &BTreeMap<InstanceId, Rule>) {
        let used: BTreeSet<&Arc<str>> = rules.values().flat_map(|rule| [&rule.pattern, &rule.any]).collect();
        self.compiled.retain(|pattern, _| used.contains(pattern));
    }

    fn regex(&mut self, pattern: &Arc<str>) -> Result<&Regex, Arc<str>> {
        let compile = || {
            let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|error| {
                let text = error.to_string();
                format!("adopt.commandLine cannot be used: {}", text.lines().last().unwrap_or_default()).into()
            })
        };
        self.compiled.entry(pattern.clone()).or_insert_with(compile).as_ref().map_err(Arc::clone)
    }

    fn candidate<'a>(
        &mut self,
        cx: Look<'_>,
        process: &'a Process,
        general: &BTreeSet<&Arc<str>>,
    ) -> Option<Candidate<'a>> {
        let is_never = process.state == ProcessState::Zombie
            || process.pid == std::process::id()
            || argv::is_comm(process.name.as_bytes());
        if is_never {
            return None;
        }
        let argv = arguments(cx.table, process.pid)?;
        // One that cannot be compiled fits nobody here, and is said below.
        let fits = general.iter().any(|any| self.regex(any).is_ok_and(|regex| regex.is_match(&argv)));
        // Ours fit their own rules, and there may be a thousand of them.
        let is_ours = || cx.table.environ(process.pid).is_some_and(|environ| is_marked(&environ));
        (fits && !is_ours()).then_some(Candidate { process, argv })
    }

    fn twin(
        &mut self,
        cx: Look<'_>,
        candidates: &[Candidate<'_>],
        rule: &Rule,
        known: &mut BTreeMap<u32, Verdict>,
    ) -> Twin {
        // With nobody to tell apart, the rule of one item says no more than that of any.
        let pattern = if candidates.is_empty() { &rule.any } else { &rule.pattern };
        let regex = match self.regex(pattern) {
            Ok(regex) => regex,
            Err(why) => return Twin::Unreadable { why },
        };
        let mut found: BTreeMap<u32, &Process> = BTreeMap::new();
        for candidate in candidates.iter().filter(|candidate| regex.is_match(&candidate.argv)) {
            let pid = candidate.process.pid;
            match known.entry(pid).or_insert_with(|| judge(cx, candidate)) {
                Verdict::Stranger => _ = found.insert(pid, candidate.process),
                Verdict::Nobody => {}
                Verdict::Unreadable(why) => return Twin::Unreadable { why: why.clone() },
            }
        }
        let is_topmost = |process: &Process| !parents(cx.table, process).any(|parent| found.contains_key(&parent.pid));
        let boot = cx.clock.boot_id();
        let members: Vec<Member> =
            found.values().filter(|process| is_topmost(process)).map(|p| super::tree::member(p, boot)).collect();
        match members.as_slice() {
            [] => Twin::None,
            [one] => Twin::One(adopted(cx, &rule.id, one.clone())),
            [..] => Twin::Many(members.into()),
        }
    }
}

/// Why nobody can be found now; `None` when all who count can be seen.
fn blind(listing: &Listing) -> Option<Arc<str>> {
    match &listing.coverage {
        Coverage::Partial { why } => Some(why.clone()),
        Coverage::Whole => proc::hiding(),
    }
}

/// What a process that fits a pattern is.
enum Verdict {
    /// Started by somebody, and by no home.
    Stranger,
    /// It does not count, or is gone.
    Nobody,
    /// It cannot be told.
    Unreadable(Arc<str>),
}

fn judge(cx: Look<'_>, candidate: &Candidate<'_>) -> Verdict {
    let Candidate { process, argv } = candidate;
    let pid = process.pid;
    let is_it = || {
        let now = cx.table.process(pid);
        now.is_some_and(|now| now.started == process.started && now.state != ProcessState::Zombie)
    };
    let gap = |what: &str| match is_it() {
        true => Verdict::Unreadable(format!("{what} of process {pid}, which could be it, cannot be read").into()),
        false => Verdict::Nobody,
    };
    match proc::standing(pid) {
        Some(Standing::Other) => return Verdict::Nobody,
        None => return gap("the program"),
        Some(Standing::Ours) => {}
    }
    if parents(cx.table, process).any(|parent| is_shim(cx.table, &parent)) {
        return Verdict::Nobody;
    }
    let Some(environ) = cx.table.environ(pid) else { return gap("the environment") };
    // Looked at last: what was read before belongs to this process only if it still has the same arguments.
    let is_same = is_it() && arguments(cx.table, pid).as_deref() == Some(argv);
    if is_same && !is_marked(&environ) { Verdict::Stranger } else { Verdict::Nobody }
}

/// True when some home has started it.
fn is_marked(environ: &[u8]) -> bool {
    environ.split(|b| *b == 0).any(|entry| entry.starts_with(b"SETPOINT_INSTANCE="))
}

fn is_shim(table: &dyn Table, process: &Process) -> bool {
    argv::is_comm(process.name.as_bytes()) && table.argv(process.pid).is_some_and(|bytes| argv::parse(&bytes).is_some())
}

fn parents<'a>(table: &'a dyn Table, process: &Process) -> impl Iterator<Item = Process> + 'a {
    let parent = |process: &Process| (process.parent > 0).then(|| table.process(process.parent)).flatten();
    std::iter::successors(parent(process), move |process| parent(process)).take(PARENTS_MAX)
}

/// The argument list joined by NUL; `None` for a thread of the kernel, and for who has none left.
fn arguments(table: &dyn Table, pid: u32) -> Option<Vec<u8>> {
    let mut argv = table.argv(pid)?;
    if argv.last() == Some(&0) {
        argv.pop();
    }
    (!argv.is_empty()).then_some(argv)
}

fn adopted(cx: Look<'_>, id: &InstanceId, member: Member) -> Adopted {
    let recorded = recorded(&cx.home.records(id)).filter(|(proc, _)| *proc == member.proc);
    Adopted { revision: recorded.map(|(_, revision)| revision), member }
}

/// The process that was written down as this instance, while it lives: enough to find it once its object is gone.
#[must_use]
pub fn find_recorded(cx: Look<'_>, id: &InstanceId) -> Twin {
    let Some((proc, revision)) = recorded(&cx.home.records(id)) else { return Twin::None };
    let process = cx.table.process(proc.pid).filter(|process| {
        process.started == proc.started && process.state != ProcessState::Zombie && proc.boot == *cx.clock.boot_id()
    });
    match process {
        Some(process) => {
            let member = super::tree::member(&process, &proc.boot);
            Twin::One(Adopted { member, revision: Some(revision) })
        }
        None => Twin::None,
    }
}

/// What stands in the file, as `execute::adopted` writes it.
fn recorded(folder: &Path) -> Option<(ProcId, Revision)> {
    let text = std::fs::read_to_string(folder.join(ADOPTED_FILE)).ok()?;
    let lines = text.strip_prefix("setpoint-adopted 1\n")?.lines();
    let fields: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
    let boot = crate::engine::BootId::new(fields.get("boot")?);
    let proc = ProcId { boot, pid: fields.get("pid")?.parse().ok()?, started: fields.get("started")?.parse().ok()? };
    Some((proc, fields.get("revision")?.parse().ok()?))
}
