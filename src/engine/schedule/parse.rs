//! Reads five fields of cron, and says what is wrong with those it cannot read.
//!
//! In: text. Out: an [`Expr`], or one error with its column and what to write. Not here: `@reboot`, which is no time.
//! The surprise: what other dialects allow (seconds, `5/15`, `22-2`, `L`, `?`) is refused, never guessed, since a wrong
//! guess is a job at three in the afternoon instead of at night.

use std::fmt;
use std::sync::Arc;

use super::expr::{Expr, Sets};

/// No schedule needs more letters.
const TEXT_MAX: usize = 1000;
/// More digits than any number of a schedule has.
const DIGITS_MAX: usize = 9;
/// So much of a wrong item is repeated.
const ITEM_SHOWN_MAX: usize = 40;

const FIVE: &str = "five fields: minute hour day-of-month month day-of-week, as in `0 3 * * *`";

/// Why a text is no schedule: what, where, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// The field: `minute`, `hour`, `day of month`, `month`, `day of week`; or `schedule` for the whole.
    pub field: &'static str,
    /// Where the item begins, in characters from 1.
    pub column: usize,
    /// The part that is wrong, as written; cut when it is long.
    pub item: String,
    /// The rest of a sentence that begins with the item.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExprError { field, column, item, what, help } = self;
        write!(f, "{field}, column {column}: `{item}` {what}\n  help: {help}")
    }
}

impl std::error::Error for ExprError {}

/// A field: its name, its range, and names for its numbers.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    /// What stands in the way of a number just outside.
    outside: &'static str,
}

const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[], outside: "the minute after 59 is 0 of the next hour" },
    Field { name: "hour", min: 0, max: 23, names: &[], outside: "midnight is 0" },
    Field { name: "day of month", min: 1, max: 31, names: &[], outside: "days are counted from 1" },
    Field { name: "month", min: 1, max: 12, names: MONTHS, outside: "January is 1, December 12" },
    Field { name: "day of week", min: 0, max: 7, names: WEEKDAYS, outside: "Sunday is 0 or 7, Saturday 6" },
];

const MACROS: &[(&str, &str)] = &[
    ("@annually", "0 0 1 1 *"),
    ("@daily", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
    ("@midnight", "0 0 * * *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@yearly", "0 0 1 1 *"),
];

/// A piece of the text and where it begins.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    /// In characters from 1.
    column: usize,
}

impl Piece<'_> {
    fn error(self, field: &'static str, what: impl Into<String>, help: impl Into<String>) -> ExprError {
        let mut item: String = self.text.chars().take(ITEM_SHOWN_MAX).collect();
        if item.len() < self.text.len() {
            item.push('…');
        }
        let plain = |c: char| match c {
            '\t' => ' ',
            _ if c.is_control() => '\u{fffd}',
            _ => c,
        };
        let item = item.chars().map(plain).collect();
        ExprError { field, column: self.column, item, what: what.into(), help: help.into() }
    }
}

impl Expr {
    /// Reads five fields, divided by spaces or tabs, or one of `@hourly @daily @midnight @weekly @monthly @yearly
    /// @annually`.
    ///
    /// # Errors
    /// When the text is something else, or names dates that never come. `@reboot` is no expression.
    pub fn parse(text: &str) -> Result<Expr, ExprError> {
        let whole = whole(text);
        if text.len() > TEXT_MAX {
            return Err(whole.error("schedule", format!("is longer than {TEXT_MAX} bytes"), format!("write {FIVE}")));
        }
        check_letters(text)?;
        let pieces = split(text);
        if let [only] = pieces.as_slice()
            && only.text.starts_with('@')
        {
            return of_macro(*only);
        }
        let [minutes, hours, days, months, weekdays] = pieces.as_slice() else {
            return Err(wrong_count(text, &pieces));
        };
        let [minute, hour, day, month, weekday] = &FIELDS;
        let sets = Sets {
            minutes: set(minute, *minutes)?,
            hours: set(hour, *hours)?,
            days: set(day, *days)?,
            months: set(month, *months)?,
            weekdays: set(weekday, *weekdays)?,
            is_wildcard: is_star(*minutes) || is_star(*hours),
            is_either_day: !is_star(*days) && !is_star(*weekdays),
        };
        // Sunday is 0 and 7.
        let sets = Sets { weekdays: (sets.weekdays | sets.weekdays >> 7) & 0x7f, ..sets };
        if !sets.ever_comes() {
            let what = "never comes: no such month has such a day, so it never fires";
            return Err(days.error("day of month", what, "check day of month and month: February has 29 days at most"));
        }
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text).collect();
        Ok(Expr { text: Arc::from(texts.join(" ")), sets })
    }
}

/// Refuses what looks like a space and is none.
fn check_letters(text: &str) -> Result<(), ExprError> {
    let is_wrong = |c: char| (c.is_whitespace() || c.is_control()) && c != ' ' && c != '\t';
    match text.char_indices().zip(1..).find(|((_, c), _)| is_wrong(*c)) {
        Some(((_, c), column)) => {
            let what = format!("is no space (character {:04X})", u32::from(c));
            Err(Piece { text: "\u{fffd}", column }.error(
                "schedule",
                what,
                "write spaces or tabs between fields, all in one line",
            ))
        }
        None => Ok(()),
    }
}

/// Divides a text at spaces and tabs.
fn split(text: &str) -> Vec<Piece<'_>> {
    let mut column = 1;
    let mut pieces = Vec::new();
    for part in text.split([' ', '\t']) {
        if !part.is_empty() {
            pieces.push(Piece { text: part, column });
        }
        column += part.chars().count() + 1;
    }
    pieces
}

/// All of it but the blanks around it.
fn whole(text: &str) -> Piece<'_> {
    let inner = text.trim_start_matches([' ', '\t']);
    let column = if inner.is_empty() { 1 } else { text.len() - inner.len() + 1 };
    Piece { text: inner.trim_end_matches([' ', '\t']), column }
}

fn is_star(piece: Piece<'_>) -> bool {
    piece.text.starts_with('*')
}

fn of_macro(word: Piece<'_>) -> Result<Expr, ExprError> {
    if let Some((name, fields)) = MACROS.iter().find(|(name, _)| *name == word.text) {
        return Expr::parse(fields).map(|expr| Expr { text: Arc::from(*name), ..expr });
    }
    let known = "write @hourly, @daily, @weekly, @monthly or @yearly, or five fields";
    Err(match word.text.to_ascii_lowercase().as_str() {
        "@reboot" => word.error("schedule", "is a start trigger, not a time", "write it as the whole schedule"),
        "@every" => word.error("schedule", "is no schedule", "write `every: 15m` instead of `schedule`"),
        lower if MACROS.iter().any(|(name, _)| *name == lower) => {
            word.error("schedule", "has capital letters", format!("write {lower}"))
        }
        lower => {
            let all = MACROS.iter().map(|(name, _)| *name).chain(["@reboot"]);
            match all.filter(|name| is_slip(lower, name)).min_by_key(|name| name.len().abs_diff(lower.len())) {
                Some(name) => word.error("schedule", "is no schedule", format!("did you mean {name}? Else {known}")),
                None => word.error("schedule", "is no schedule", known),
            }
        }
    })
}

/// True when one letter is missing, too much, another, or changed places with the next one.
fn is_slip(text: &str, meant: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (text.chars().collect(), meant.chars().collect());
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let rest = |letters: &[char], skip: usize| letters.iter().skip(head + skip).copied().collect::<Vec<char>>();
    let turned = |letters: Vec<char>| match letters.as_slice() {
        [first, second, rest @ ..] => [&[*second, *first], rest].concat(),
        short => short.to_vec(),
    };
    rest(&a, 0) == rest(&b, 1)
        || rest(&a, 1) == rest(&b, 0)
        || rest(&a, 1) == rest(&b, 1)
        || turned(rest(&a, 0)) == rest(&b, 0)
}

/// The words for a text of too many or too few fields.
fn wrong_count(text: &str, pieces: &[Piece<'_>]) -> ExprError {
    let whole = whole(text);
    let Some(first) = pieces.first() else {
        return whole.error("schedule", "is empty", format!("write {FIVE}"));
    };
    if let Some((name, _)) = first.text.split_once('=') {
        let what =
            format!("sets {}, but a schedule holds times only", name.chars().take(ITEM_SHOWN_MAX).collect::<String>());
        return first.error(
            "schedule",
            what,
            "name the zone beside it: `timeZone: Europe/Berlin`, or `--tz Europe/Berlin`",
        );
    }
    if first.text == "@every" {
        return first.error("schedule", "is no schedule", "write `every: 15m` instead of `schedule`");
    }
    if first.text.starts_with('@') {
        return first.error(
            "schedule",
            "stands alone, without fields after it",
            format!("write {} or {FIVE}", first.text),
        );
    }
    if let Some(open) = pieces.iter().find(|piece| piece.text.ends_with(',')) {
        return open.error("schedule", "ends with a comma", "write lists without spaces: `1,2,3`");
    }
    let count = pieces.len();
    match pieces.get(5) {
        Some(_) if count <= 7 => {
            let rest: Vec<&str> = pieces.iter().skip(1).take(5).map(|piece| piece.text).collect();
            let help = format!(
                "seconds are not supported: write `{}` if the first field is seconds, or use `every: 30s`",
                rest.join(" ")
            );
            whole.error("schedule", format!("has {count} fields, not five"), help)
        }
        Some(_) => whole.error("schedule", format!("has {count} fields, not five"), format!("write {FIVE}")),
        None => whole.error("schedule", format!("has {count} of five fields"), format!("write {FIVE}")),
    }
}

/// The numbers a field names, as bits.
fn set(field: &Field, piece: Piece<'_>) -> Result<u64, ExprError> {
    let mut column = piece.column;
    let mut bits = 0;
    let end = piece.column + piece.text.chars().count() - 1;
    for text in piece.text.split(',') {
        if text.is_empty() {
            let comma = Piece { text: ",", column: column.min(end) };
            return Err(comma.error(field.name, "lacks a number on one side", "write lists as `1,2,3`"));
        }
        bits |= item(field, Piece { text, column })?;
        column += text.chars().count() + 1;
    }
    Ok(bits)
}

/// One of a list: `*`, `*/2`, `5`, `1-5`, `1-5/2`.
fn item(field: &Field, item: Piece<'_>) -> Result<u64, ExprError> {
    let (range, step) = match item.text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item.text, None),
    };
    let range = Piece { text: range, column: item.column };
    if range.text.is_empty() {
        return Err(item.error(field.name, "has nothing before the slash", format!("write `*{}`", item.text)));
    }
    let (from, to) = match (range.text.split_once('-'), range.text) {
        (_, "*") if field.max == 7 => (0, 6),
        (_, "*") => (field.min, field.max),
        (Some((from, to)), _) => {
            let second = Piece { text: to, column: item.column + from.chars().count() + 1 };
            ends(field, item, step, (Piece { text: from, column: item.column }, second))?
        }
        (None, _) => {
            let number = number(field, range)?;
            if let Some(step) = step {
                let what = "has a step after a single number";
                return Err(item.error(field.name, what, format!("write `{number}-{}/{step}`", last(field))));
            }
            (number, number)
        }
    };
    let step = match step {
        Some(text) => {
            let column = item.column + range.text.chars().count() + 1;
            step_width(field, item, Piece { text, column })?
        }
        None => 1,
    };
    Ok((from..=to).step_by(step).fold(0, |bits, number| bits | 1 << number))
}

/// Sentences about steps that are longer than their range; the text is one that was read.
pub(super) fn long_steps(text: &str) -> Vec<String> {
    let fields = FIELDS.iter().zip(text.split(' '));
    let items = fields.flat_map(|(field, items)| items.split(',').map(move |item| (field, item)));
    let words = |(field, text): (&Field, &str)| {
        let bits =
            item(field, Piece { text, column: 1 }).ok().filter(|bits| text.contains('/') && bits.count_ones() == 1)?;
        let only = bits.trailing_zeros();
        Some(format!("the step of `{text}` is longer than its range, so that is {} {only} alone", field.name))
    };
    items.filter_map(words).collect()
}

/// The last number people count to.
fn last(field: &Field) -> u32 {
    if field.max == 7 { 6 } else { field.max }
}

/// Both ends of a range.
fn ends(
    field: &Field,
    item: Piece<'_>,
    step: Option<&str>,
    (first, second): (Piece<'_>, Piece<'_>),
) -> Result<(u32, u32), ExprError> {
    if first.text.is_empty() || second.text.is_empty() {
        let help = format!("write both ends: `{}-{}`", field.min, last(field));
        let is_negative = first.text.is_empty() && second.text.bytes().all(|byte| byte.is_ascii_digit());
        return Err(match is_negative && !second.text.is_empty() {
            true => item.error(field.name, "is negative", range_help(field)),
            false => item.error(field.name, "lacks an end", help),
        });
    }
    if first.text == "*" || second.text == "*" {
        let help = format!("write `*` alone, or two numbers: `{}-{}`", field.min, last(field));
        return Err(item.error(field.name, "is no range", help));
    }
    if second.text.contains('-') {
        return Err(item.error(field.name, "has more than two ends", "write lists of ranges as `1-5,7-9`"));
    }
    let (from, to) = (number(field, first)?, number(field, second)?);
    match to {
        0 if field.max == 7 && from > 0 => Ok((from, 7)),
        _ if from <= to => Ok((from, to)),
        _ => {
            let has_names = first.text.bytes().all(|byte| byte.is_ascii_alphabetic());
            let help = format!("write `{}`", forwards(field, has_names, step, (from, to)));
            Err(item.error(field.name, "runs backwards", help))
        }
    }
}

/// What a range that runs backwards probably means.
fn forwards(field: &Field, has_names: bool, step: Option<&str>, (from, to): (u32, u32)) -> String {
    let name = |number: u32| {
        // Sunday has two numbers and one name.
        let index = if number == 7 && field.max == 7 { 0 } else { number - field.min };
        let name = usize::try_from(index).ok().and_then(|index| field.names.get(index)).filter(|_| has_names);
        name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
    };
    let range = |from: u32, to: u32| if from == to { name(from) } else { format!("{}-{}", name(from), name(to)) };
    let width = step.and_then(|step| step.parse::<usize>().ok()).filter(|step| *step > 1);
    let first = if field.max == 7 && from == 7 { 0 } else { from };
    let Some(width) = width else {
        let (low, high) = if field.max == 7 { (1, 7) } else { (field.min, field.max) };
        return if first == 0 { range(first, to) } else { format!("{},{}", range(first, high), range(low, to)) };
    };
    let around = (first..=last(field)).chain(field.min..=to);
    around.step_by(width).map(name).collect::<Vec<_>>().join(",")
}

/// The number after a slash.
fn step_width(field: &Field, item: Piece<'_>, step: Piece<'_>) -> Result<usize, ExprError> {
    let is_number = !step.text.is_empty() && step.text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let what = if step.text.is_empty() { "lacks a number after the slash" } else { "has a step that is no number" };
        return Err(item.error(field.name, what, format!("write a number after the slash: `*/{}`", sample(field))));
    }
    if step.text.len() > DIGITS_MAX {
        return Err(step.error(field.name, "has more than nine digits", "write a smaller step"));
    }
    match step.text.parse::<usize>() {
        Ok(width) if width > 0 => Ok(width),
        Ok(_) | Err(_) => Err(item.error(field.name, "has a step of 0", "write 1 or more after the slash")),
    }
}

fn sample(field: &Field) -> u32 {
    if field.max == 59 { 5 } else { 2 }
}

/// A number of a field, or the name of one.
fn number(field: &Field, piece: Piece<'_>) -> Result<u32, ExprError> {
    if !piece.text.is_empty() && piece.text.bytes().all(|byte| byte.is_ascii_digit()) {
        if piece.text.len() > DIGITS_MAX {
            return Err(piece.error(field.name, "has more than nine digits", range_help(field)));
        }
        return match piece.text.parse::<u32>() {
            Ok(number) if (field.min..=field.max).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                let what = format!("is not within {} to {}", field.min, field.max);
                Err(piece.error(field.name, what, format!("{}; {}", range_help(field), field.outside)))
            }
        };
    }
    let is_same = |name: &&str| name.eq_ignore_ascii_case(piece.text);
    match (field.min..).zip(field.names).find(|(_, name)| is_same(name)) {
        Some((number, _)) => Ok(number),
        None => Err(no_number(field, piece)),
    }
}

fn range_help(field: &Field) -> String {
    let names = match field.names {
        [first, .., last] => format!(", or {first} to {last}"),
        _ => String::new(),
    };
    format!("write {} to {}{names}", field.min, field.max)
}

/// The words for an item that is neither a number nor a name.
fn no_number(field: &Field, piece: Piece<'_>) -> ExprError {
    let upper = piece.text.to_ascii_uppercase();
    let is_long = |name: &&&str| upper.starts_with(**name) && upper.bytes().all(|byte| byte.is_ascii_alphabetic());
    if let Some(name) = field.names.iter().find(is_long) {
        return piece.error(field.name, "is no name: they have three letters", format!("write {name}"));
    }
    if let Some(other) = FIELDS.iter().find(|other| other.names.contains(&upper.as_str())) {
        let what = format!("is a {}", if other.max == 7 { "day of the week" } else { "month" });
        let place = if other.max == 7 { "it belongs into the fifth field" } else { "it belongs into the fourth field" };
        return piece.error(field.name, what, format!("{place}; here {}", range_help(field)));
    }
    match upper.as_str() {
        "?" => piece.error(field.name, "is of another dialect", "write `*`"),
        _ if piece.text.contains('.') => piece.error(field.name, "is no whole number", range_help(field)),
        _ if piece.text.contains('*') => {
            let help = format!("write `*` or `*/{}`, with nothing else in it", sample(field));
            piece.error(field.name, "has a star in it", help)
        }
        _ if upper.contains(['L', 'W', '#', 'H', '?', '~']) && upper.len() <= 4 => {
            let help = format!("{}; last days, nearest workdays and random times have no spelling", range_help(field));
            piece.error(field.name, "is of another dialect", help)
        }
        _ => piece.error(field.name, "is no number", range_help(field)),
    }
}
