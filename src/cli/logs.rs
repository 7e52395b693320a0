//! `setpoint logs`: what instances printed, over rotations and restarts.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::facts::{self, Facts};
use super::{Failure, Format, Global, Outcome, exit};
use crate::engine::InstanceId;
use crate::engine::observed::Member;
use crate::home::Home;
use crate::observe::{clock, records};
use crate::record::logline::{self, Source, Tag};

/// How often `-f` looks for more.
const FOLLOW: Duration = Duration::from_millis(100);

/// The longest line that is read in one piece; what is longer is printed in several.
const LINE_MAX: u64 = 1 << 20;

/// How long `-f` waits for the rest of a line before it prints what there is, such as the question of a prompt.
const REST: Duration = Duration::from_secs(1);

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
    /// Only the attempt before the present one
    #[arg(short, long)]
    previous: bool,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Print the moment of each line
    #[arg(long)]
    timestamps: bool,
}

struct Wish<'a> {
    global: &'a Global,
    tail: Option<usize>,
    since_ns: u64,
    grep: Option<&'a str>,
    timestamps: bool,
    is_many: bool,
}

/// Runs the verb.
///
/// # Errors
/// When an object does not exist, a flag makes no sense, or a log cannot be read.
pub fn run(global: &Global, args: &Args) -> Outcome {
    let (home, facts) = facts::read(global)?;
    let ids = instances(&facts, &args.objects)?;
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
    let wish = Wish {
        global,
        tail,
        since_ns,
        grep: args.grep.as_deref(),
        timestamps: args.timestamps,
        is_many: ids.len() > 1,
    };
    let mut readers: Vec<Reader> =
        ids.iter().map(|id| Reader::open(&home, id, &wish, args.previous)).collect::<Result<_, _>>()?;
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
    loop {
        readers.iter_mut().for_each(Reader::go_on);
        merge(&mut readers, &wish)?;
        std::thread::sleep(FOLLOW);
    }
}

fn instances(facts: &Facts, words: &[String]) -> Result<Vec<InstanceId>, Failure> {
    let (instances, objects): (Vec<String>, Vec<String>) =
        words.iter().cloned().partition(|word| word.matches('/').count() == 2);
    let named: Result<Vec<InstanceId>, Failure> =
        instances.iter().map(|word| super::describe::instance_of(facts, word)).collect();
    let mut ids = named?;
    if !objects.is_empty() {
        let objects = facts.named(&objects)?;
        let of_objects = |id: &&InstanceId| objects.contains(&id.object);
        let decided = facts.plan.decisions.iter().map(|decision| &decision.id);
        ids.extend(decided.chain(facts.backoff.0.keys()).filter(of_objects).cloned());
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
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
    loop {
        let next =
            readers.iter_mut().filter_map(|reader| Some((reader.peek()?.wall_ns, reader))).min_by_key(|(at, _)| *at);
        let Some((_, reader)) = next else { break };
        let id = reader.id.to_string();
        if let Some(line) = reader.take()
            && is_wanted(&line, wish)
        {
            super::ignore_closed(print(&mut out, &id, &line, wish))?;
            count += 1;
        }
    }
    super::ignore_closed(out.flush())?;
    Ok(count)
}

fn is_wanted(line: &Line, wish: &Wish<'_>) -> bool {
    line.wall_ns >= wish.since_ns && wish.grep.is_none_or(|text| line.text.contains(text))
}

fn print(out: &mut impl Write, id: &str, line: &Line, wish: &Wish<'_>) -> std::io::Result<()> {
    if wish.global.output == Format::Json {
        let time = logline::Stamp::new(line.wall_ns);
        let stream = if line.is_stderr { "stderr" } else { "stdout" };
        let json = serde_json::json!({ "time": time.as_str(), "instance": id, "stream": stream, "text": line.text });
        return writeln!(out, "{json}");
    }
    if wish.is_many {
        write!(out, "[{id}] ")?;
    }
    if wish.timestamps {
        write!(out, "{} ", logline::Stamp::new(line.wall_ns).as_str())?;
    }
    writeln!(out, "{}", super::plain(&line.text))
}

/// A whole line: partial ones are joined.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    wall_ns: u64,
    is_stderr: bool,
    text: String,
}

/// Reads the log files of one instance in order.
struct Reader {
    id: InstanceId,
    folder: PathBuf,
    file: Option<(u32, BufReader<File>)>,
    /// Where to stop: the file and offset a later attempt begins at.
    end: Option<(u32, u64)>,
    /// What was read of a line whose end has not come.
    torn: Vec<u8>,
    /// What came of a line of stdout, and of stderr, whose rest has not come.
    open: [Option<Line>; 2],
    /// Lines begun before this count as whole where no more is to be read.
    rest_until_ns: u64,
    next: Option<Line>,
}

impl Reader {
    fn open(home: &Home, id: &InstanceId, wish: &Wish<'_>, is_previous: bool) -> Result<Reader, Failure> {
        let folder = home.logs(&id.object);
        let (file, end, torn, open, next) = (None, None, Vec::new(), [None, None], None);
        let mut reader = Reader { id: id.clone(), folder, file, end, torn, open, rest_until_ns: u64::MAX, next };
        let mut start = (0, 0);
        if is_previous {
            let records = home.records(id);
            let number = records::last_number(&records).ok().flatten().unwrap_or(0);
            let begin = |number: u32| {
                let birth = records::attempt_of(&records, number).ok().flatten()?.birth?;
                Some((birth.log_file, birth.log_offset))
            };
            let Some((previous, last)) = number.checked_sub(1).and_then(|n| begin(n).zip(begin(number))) else {
                let text = format!("{id} has no attempt before the present one\n  help: leave out --previous");
                return Err(Failure::new(exit::NOT_FOUND, text));
            };
            (start, reader.end) = (previous, Some(last));
        } else if let Some(tail) = wish.tail.filter(|_| wish.since_ns == 0 && wish.grep.is_none()) {
            start = reader.tail(tail);
        }
        reader.open_from(start.0, start.1);
        Ok(reader)
    }

    fn numbers(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let prefix = format!("{}.", self.id.cause);
        let number = |name: String| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok();
        let mut numbers: Vec<u32> =
            entries.flatten().filter_map(|e| number(e.file_name().into_string().ok()?)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}.{number:06}.log", self.id.cause))
    }

    /// Where the last `count` lines begin.
    fn tail(&self, mut count: usize) -> (u32, u64) {
        let numbers = self.numbers();
        for number in numbers.iter().rev() {
            match last_lines(&self.path(*number), count) {
                Ok(Found::At(offset)) => return (*number, offset),
                Ok(Found::Fewer(lines)) => count -= lines,
                Err(_) => {}
            }
        }
        (0, 0)
    }

    fn open_from(&mut self, number: u32, offset: u64) {
        let Some(first) = self.numbers().into_iter().find(|n| *n >= number) else { return };
        if let Ok(mut file) = File::open(self.path(first)) {
            let offset = if first == number { offset } else { 0 };
            self.file = file.seek(SeekFrom::Start(offset)).is_ok().then(|| (first, BufReader::new(file)));
        }
    }

    /// Looks for a first file where there was none, and gives the rest of lines some time to come.
    fn go_on(&mut self) {
        self.rest_until_ns = clock::wall().nanos().saturating_sub(REST.as_nanos() as u64);
        if self.file.is_none() {
            self.open_from(0, 0);
        }
    }

    fn peek(&mut self) -> Option<&Line> {
        if self.next.is_none() {
            self.next = self.read();
        }
        self.next.as_ref()
    }

    fn take(&mut self) -> Option<Line> {
        self.next.take()
    }

    fn read(&mut self) -> Option<Line> {
        loop {
            let (number, file) = self.file.as_mut()?;
            if let Some((end_file, end_offset)) = self.end
                && (*number, file.stream_position().ok()?) >= (end_file, end_offset)
            {
                return self.rest();
            }
            let length = file.by_ref().take(LINE_MAX).read_until(b'\n', &mut self.torn).ok()?;
            if length == 0 || !self.torn.ends_with(b"\n") {
                let after = *number;
                let Some(next) = self.numbers().into_iter().find(|n| *n > after) else { return self.rest() };
                // A newer file exists, so this one is complete: what has no newline never gets one.
                self.torn.clear();
                self.open_from(next, 0);
                continue;
            }
            if let Some(line) = self.whole() {
                return Some(line);
            }
        }
    }

    /// A line whose end has not come for too long.
    fn rest(&mut self) -> Option<Line> {
        let until = self.rest_until_ns;
        self.open.iter_mut().find_map(|open| open.take_if(|line| line.wall_ns <= until))
    }

    /// The line just read, once all parts of it are there.
    fn whole(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.torn);
        let read = logline::parse(bytes.strip_suffix(b"\n").unwrap_or(&bytes))?;
        let is_stderr = read.source == Source::Stderr;
        let text = String::from_utf8_lossy(read.text);
        let [stdout, stderr] = &mut self.open;
        let open = if is_stderr { stderr } else { stdout };
        let line = open.get_or_insert_with(|| Line { wall_ns: read.wall_ns, is_stderr, text: String::new() });
        line.text.push_str(&text);
        let is_over = read.tag == Tag::Full || line.text.len() as u64 >= LINE_MAX;
        if is_over { open.take() } else { None }
    }
}

enum Found {
    /// The lines begin here.
    At(u64),
    /// The file has only so many.
    Fewer(usize),
}

/// Where the last `count` lines of a file begin, read from its end.
fn last_lines(path: &Path, count: usize) -> std::io::Result<Found> {
    const BLOCK: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let mut at = file.metadata()?.len();
    let mut seen = 0;
    if count == 0 {
        return Ok(Found::At(at));
    }
    while at > 0 {
        let size = BLOCK.min(at);
        at -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if seen == count {
                return Ok(Found::At(at + index as u64 + 1));
            }
            seen += 1;
        }
    }
    Ok(if seen >= count { Found::At(0) } else { Found::Fewer(seen) })
}

/// The last line an instance printed, for `describe`.
#[must_use]
pub fn last_line(home: &Home, id: &InstanceId) -> Option<String> {
    let global = Global::quiet();
    let wish = Wish { global: &global, tail: Some(3), since_ns: 0, grep: None, timestamps: false, is_many: false };
    let mut reader = Reader::open(home, id, &wish, false).ok()?;
    let mut lines: VecDeque<Line> = VecDeque::new();
    while reader.peek().is_some() {
        lines.extend(reader.take());
    }
    let text = lines.into_iter().rev().find(|line| !line.text.trim().is_empty())?.text;
    Some(super::plain(&text).chars().take(200).collect())
}
