//! `setpoint logs`: what instances printed, over rotations and restarts.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use super::facts::{self, Facts};
use super::lines::{From, Line, Reader};
use super::past::Past;
use super::{Failure, Format, Global, Outcome, exit, order};
use crate::engine::observed::Member;
use crate::engine::{Cause, InstanceId, ObjectRef, Timestamp};
use crate::home::Home;
use crate::observe::clock;
use crate::record::logline;

/// How often `-f` looks for more.
const FOLLOW: Duration = Duration::from_millis(100);

/// Print what an object printed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// KIND/NAME, KIND/NAME/INSTANCE, KIND NAME or a unique NAME
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<String>,
    /// Go on as more is printed
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines of each instance; `all` for everything
    #[arg(short = 'n', long, visible_alias = "lines", value_name = "N", default_value = "50")]
    tail: String,
    /// Only what was printed since: a span like 10m, or an RFC 3339 moment
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only the attempt before the present one; of work that ends, the run before the last one
    #[arg(short, long)]
    previous: bool,
    /// This run, as `setpoint runs` names it [default: the newest]
    #[arg(long, value_name = "RUN", conflicts_with = "previous")]
    run: Option<String>,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Print the moment of each line
    #[arg(long)]
    timestamps: bool,
}

#[derive(Debug)]
struct Wish<'a> {
    global: &'a Global,
    tail: Option<usize>,
    since_ns: u64,
    grep: Option<&'a str>,
    timestamps: bool,
    is_previous: bool,
    is_many: bool,
}

impl Wish<'_> {
    /// Where to begin in the logs of an instance. Of work that ends, another run is another instance.
    fn from(&self, facts: &Facts, id: &InstanceId) -> From {
        match self.tail.filter(|_| self.since_ns == 0 && self.grep.is_none()) {
            _ if self.is_previous && facts.rule(&id.object).is_none() => From::Previous,
            Some(tail) => From::Tail(tail),
            None => From::Start,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist, a flag makes no sense, or a log cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let (home, facts) = facts::read(global)?;
    let ids = match &home {
        Some(home) => instances(home, &facts, args)?,
        None => facts.named(&args.objects).map(|_| Vec::new())?,
    };
    let Some(home) = home else { return Ok(exit::OK) };
    let tail = match args.tail.as_str() {
        "all" => None,
        count => Some(count.parse().map_err(|_| {
            Failure::new(
                exit::USAGE,
                format!("--tail is `{count}`, but it counts lines\n  help: write a number, or all"),
            )
        })?),
    };
    let since_ns = args.since.as_deref().map_or(Ok(0), since)?;
    let mut wish = Wish {
        global,
        tail,
        since_ns,
        grep: args.grep.as_deref(),
        timestamps: args.timestamps,
        is_previous: args.previous,
        is_many: ids.len() > 1,
    };
    let mut readers: Vec<Reader> =
        ids.iter().map(|id| Reader::open(&home, id, wish.from(&facts, id))).collect::<Result<_, _>>()?;
    if !args.follow {
        if merge(&mut readers, &wish)? == 0 {
            let what = if wish.grep.is_some() || wish.since_ns > 0 { "no such line" } else { "it has printed nothing" };
            super::say(global, &format!("{}: {what}", args.objects.join(" ")));
            for Member { proc, name } in ids.iter().filter_map(|id| facts.adopted(id)) {
                let text = "its output is where they sent it";
                super::say(global, &format!("process {} ({name}) was started by somebody else; {text}", proc.pid));
            }
        }
        return Ok(exit::OK);
    }
    let followed = Followed::new(&facts, args);
    loop {
        followed.add(&home, &mut readers)?;
        wish.is_many = readers.len() > 1;
        readers.iter_mut().for_each(Reader::go_on);
        merge(&mut readers, &wish)?;
        std::thread::sleep(FOLLOW);
    }
}

/// Objects whose next runs are followed, too, each with the moment of its newest run so far.
struct Followed(Vec<(ObjectRef, Timestamp)>);

impl Followed {
    fn new(facts: &Facts, args: &Args) -> Followed {
        let is_all = args.run.is_none() && !args.previous;
        let objects = args.objects.iter().filter(|word| is_all && word.matches('/').count() < 2).cloned();
        let named = facts.named(&objects.collect::<Vec<_>>()).unwrap_or_default();
        let runs = named.into_iter().filter(|object| is_all && facts.rule(object).is_some());
        let newest = |object: &ObjectRef| facts.past.newest(object, 1).first().map(|row| row.created);
        Followed(runs.map(|object| (object.clone(), newest(&object).unwrap_or(Timestamp::from_nanos(0)))).collect())
    }

    /// Adds readers for runs and steps that have begun since.
    fn add(&self, home: &Home, readers: &mut Vec<Reader>) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        let past = Past::again(home);
        for (object, since) in &self.0 {
            for row in past.newest(object, RUNS_FOLLOWED).iter().filter(|row| row.created >= *since) {
                add_run(home, object, &row.cause, readers)?;
            }
        }
        Ok(())
    }
}

/// How many runs that began since are followed at once.
const RUNS_FOLLOWED: usize = 10;

/// Adds readers for a run and its steps, where there is none yet.
fn add_run(home: &Home, object: &ObjectRef, cause: &Cause, readers: &mut Vec<Reader>) -> Result<(), Failure> {
    for id in of_run(home, object, cause) {
        if !readers.iter().any(|reader| reader.id == id) {
            readers.push(Reader::open(home, &id, From::Start)?);
        }
    }
    Ok(())
}

/// Prints what a run prints until it is over; its exit code.
///
/// # Errors
/// As [`order::until_over`], or when a log cannot be read.
pub fn follow_run(global: &Global, home: &Home, id: &InstanceId, patience: Option<Duration>) -> Outcome {
    let mut wish =
        Wish { global, tail: None, since_ns: 0, grep: None, timestamps: false, is_previous: false, is_many: false };
    let mut readers = Vec::new();
    let mut show = |is_last: bool| -> Result<(), Failure> {
        add_run(home, &id.object, &id.cause, &mut readers)?;
        wish.is_many = readers.len() > 1;
        readers.iter_mut().for_each(Reader::go_on);
        if is_last {
            readers.iter_mut().for_each(Reader::end_here);
        }
        merge(&mut readers, &wish).map(|_| ())
    };
    let code = order::until_over(global, home, id, patience, || show(false));
    show(true)?;
    code
}

/// A run, and those of its steps that have printed something.
fn of_run(home: &Home, object: &ObjectRef, cause: &Cause) -> Vec<InstanceId> {
    let own = cause.to_string();
    let entries = std::fs::read_dir(home.logs(object)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let steps = names.filter_map(|name| {
        let (step, _) = name.strip_suffix(".log")?.rsplit_once('.')?;
        let is_step = step.strip_prefix(&own)?.starts_with('.');
        if is_step { step.parse::<Cause>().ok() } else { None }
    });
    let mut causes: Vec<Cause> = steps.collect();
    causes.sort();
    causes.dedup();
    let all = std::iter::once(cause.clone()).chain(causes);
    all.map(|cause| InstanceId { object: object.clone(), cause }).collect()
}

fn instances(home: &Home, facts: &Facts, args: &Args) -> Result<Vec<InstanceId>, Failure> {
    let (instances, words): (Vec<&String>, Vec<&String>) =
        args.objects.iter().partition(|word| word.matches('/').count() == 2);
    let mut ids = Vec::new();
    for word in instances {
        match order::run_of(facts, word) {
            Some(id) => ids.extend(of_run(home, &id.object, &id.cause)),
            None => ids.push(super::describe::instance_of(facts, word)?),
        }
    }
    let words: Vec<String> = words.into_iter().cloned().collect();
    let named = || match facts.named(&words) {
        Err(error) if error.code == exit::NOT_FOUND => Ok(vec![facts.remembered(&words).ok_or(error)?]),
        named => named,
    };
    for object in if words.is_empty() { Vec::new() } else { named()? } {
        match facts.rule(&object).is_some() || !facts.stored.objects.contains_key(&object) {
            true if !facts.past.newest(&object, 1).is_empty() || facts.rule(&object).is_some() => {
                ids.extend(newest(home, facts, args, &object)?)
            }
            true | false => {
                let decided = facts.plan.decisions.iter().map(|decision| &decision.id);
                ids.extend(decided.chain(facts.backoff.0.keys()).filter(|id| id.object == object).cloned());
            }
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The run of an object that is meant: the one that is named, the newest, or the one before.
fn newest(home: &Home, facts: &Facts, args: &Args, object: &ObjectRef) -> Result<Vec<InstanceId>, Failure> {
    if let Some(name) = &args.run {
        let help = format!("help: setpoint runs {object}");
        let name = name.strip_prefix(&format!("{object}/")).unwrap_or(name);
        let cause = name.parse().map_err(|e| Failure::new(exit::USAGE, format!("--run is `{name}`: {e}\n  {help}")))?;
        let id = InstanceId { object: object.clone(), cause };
        if facts.past.run(&id).is_none() {
            return Err(Failure::new(exit::NOT_FOUND, format!("there is no run {id}\n  {help}")));
        }
        return Ok(of_run(home, object, &id.cause));
    }
    let rows = facts.past.newest(object, 2);
    match (rows.as_slice(), args.previous) {
        ([_, before], true) => Ok(of_run(home, object, &before.cause)),
        (_, true) => {
            let text = format!("{object} has no run before the newest\n  help: leave out --previous");
            Err(Failure::new(exit::NOT_FOUND, text))
        }
        ([newest, ..], false) => Ok(of_run(home, object, &newest.cause)),
        ([], false) => Ok(Vec::new()),
    }
}

fn since(text: &str) -> Result<u64, Failure> {
    let now = clock::wall().nanos();
    if let Some(span) = super::span(text) {
        return Ok(now.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)));
    }
    let moment = crate::desired::parsed::timestamp(text).map(crate::engine::Timestamp::nanos);
    moment.ok_or_else(|| {
        let text = format!(
            "--since is `{text}`, which is no span and no moment\n  help: write 10m, 2h, or 2026-01-31T08:00:00Z"
        );
        Failure::new(exit::USAGE, text)
    })
}

/// Prints the lines of all readers in the order of their moments; how many.
fn merge(readers: &mut [Reader], wish: &Wish<'_>) -> Result<u64, Failure> {
    let mut out = std::io::stdout().lock();
    let mut count = 0;
    while let Some((id, line)) = next(readers) {
        if is_wanted(&line, wish) {
            super::ignore_closed(print(&mut out, &id, &line, wish))?;
            count += 1;
        }
    }
    super::ignore_closed(out.flush())?;
    Ok(count)
}

/// The earliest line of all, and whose it is.
fn next(readers: &mut [Reader]) -> Option<(String, Line)> {
    let ready = readers.iter_mut().filter_map(|reader| Some((reader.peek()?.wall_ns, reader)));
    let (_, reader) = ready.min_by_key(|(at, _)| *at)?;
    let id = reader.id.to_string();
    reader.take().map(|line| (id, line))
}

/// The last lines of an object, an instance or a run in the order of their moments, for programs.
///
/// # Errors
/// When there is none of this name, or a log cannot be read.
pub fn tail(
    home: &Home,
    facts: &Facts,
    name: &str,
    run: Option<&str>,
    count: usize,
) -> Result<Vec<serde_json::Value>, Failure> {
    let args = Args {
        objects: vec![name.to_owned()],
        follow: false,
        tail: count.to_string(),
        since: None,
        previous: false,
        run: run.map(str::to_owned),
        grep: None,
        timestamps: false,
    };
    let ids = instances(home, facts, &args)?;
    let mut readers: Vec<Reader> =
        ids.iter().map(|id| Reader::open(home, id, From::Tail(count))).collect::<Result<_, _>>()?;
    let mut last = VecDeque::new();
    while let Some((id, line)) = next(&mut readers) {
        if last.len() >= count {
            last.pop_front();
        }
        last.push_back(to_json(&id, &line));
    }
    Ok(last.into())
}

fn to_json(id: &str, line: &Line) -> serde_json::Value {
    let time = logline::Stamp::new(line.wall_ns);
    let stream = if line.is_stderr { "stderr" } else { "stdout" };
    serde_json::json!({ "time": time.as_str(), "instance": id, "stream": stream, "text": line.text })
}

fn is_wanted(line: &Line, wish: &Wish<'_>) -> bool {
    line.wall_ns >= wish.since_ns && wish.grep.is_none_or(|text| line.text.contains(text))
}

fn print(out: &mut impl Write, id: &str, line: &Line, wish: &Wish<'_>) -> std::io::Result<()> {
    if wish.global.output == Format::Json {
        return writeln!(out, "{}", to_json(id, line));
    }
    if wish.is_many {
        write!(out, "[{id}] ")?;
    }
    if wish.timestamps {
        write!(out, "{} ", logline::Stamp::new(line.wall_ns).as_str())?;
    }
    writeln!(out, "{}", super::plain(&line.text))
}

/// The last line an instance printed, for `describe`.
#[must_use]
pub fn last_line(home: &Home, id: &InstanceId) -> Option<String> {
    let mut reader = Reader::open(home, id, From::Tail(3)).ok()?;
    let mut lines: VecDeque<Line> = VecDeque::new();
    while reader.peek().is_some() {
        lines.extend(reader.take());
    }
    let text = lines.into_iter().rev().find(|line| !line.text.trim().is_empty())?.text;
    Some(super::plain(&text).chars().take(200).collect())
}
