//! Zones, moments, times of day and days of the week, as people write them.
//!
//! In: text. Out: values of the engine, and for each the one text that means it. Not here: whether a zone exists, which
//! only the data of a machine says (`load`).
//! The surprise: a zone is the name of a place. An offset such as `+02:00` and an abbreviation such as `CET` are refused,
//! since neither knows when clocks change.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::FieldError;
use super::units::Wrong;
use crate::engine::run::At;
use crate::engine::schedule::zone::name_fault;
use crate::engine::time::{Timestamp, utc};

const MOMENT_HELP: &str = "write 2026-12-01T09:00 for the clock of a zone, or 2026-12-01T09:00:00Z with an offset";

/// Days from Monday on, and the bits of the engine, where 0 is Sunday.
const DAYS: [(&str, u8); 7] = [("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6), ("sun", 0)];
const DAYS_HELP: &str = "write days such as mon, mon-fri or sat,sun";

/// The schema of a field that names a zone.
pub fn zone_schema(schema: &mut Schema) {
    let told = schema.get("description").cloned();
    *schema = json_schema!({
        "type": "string",
        "minLength": 1,
        "examples": ["Europe/Berlin", "UTC"],
        "x-rule": "it takes the IANA name of a place",
    });
    if let Some(told) = told {
        schema.insert("description".to_owned(), told);
    }
}

/// Says why a text cannot be the name of a zone, whatever zones there are.
pub fn check_zone(path: &[&str], zone: Option<&String>, errors: &mut Vec<FieldError>) {
    if let Some(fault) = zone.and_then(|zone| name_fault(zone)) {
        errors.push(FieldError::new(path, fault.what, fault.help));
    }
}

/// A moment: with an offset, or on the clock of a zone that stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its offset.
    Instant(Timestamp),
    /// On the clock of a zone.
    Civil(jiff::civil::DateTime),
}

impl FromStr for Moment {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Moment, Wrong> {
        let is_early = |year: i16| year < 1970;
        let early = || Wrong::new("lies before 1970", "write a time that is still to come");
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            let nanos = u64::try_from(at.as_nanosecond()).map_err(|_| early())?;
            return Ok(Moment::Instant(Timestamp::from_nanos(nanos / 1_000_000_000 * 1_000_000_000)));
        }
        // Only what looks like a date and a time: a zone in brackets or a date alone would say more or less than it seems.
        let is_plain = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'T' | b't' | b' ');
        let is_whole = text.len() >= 16 && text.bytes().all(is_plain);
        match text.parse::<jiff::civil::DateTime>() {
            Ok(at) if is_whole && is_early(at.year()) => Err(early()),
            Ok(at) if is_whole => Ok(Moment::Civil(at)),
            Ok(_) | Err(_) => Err(Wrong::new("is no date and time", MOMENT_HELP)),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Instant(at) => f.write_str(&utc(*at)),
            Moment::Civil(at) => write!(f, "{at}"),
        }
    }
}

/// The schema of a field that holds a moment; which days a month has is no matter of patterns.
pub fn moment_schema(schema: &mut Schema) {
    let told = schema.get("description").cloned();
    *schema = json_schema!({
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}",
        "examples": ["2026-12-01T09:00", "2026-12-01T09:00:00Z"],
        "x-type": "moment",
        "x-rule": "it takes a date and a time such as 2026-12-01T09:00",
    });
    if let Some(told) = told {
        schema.insert("description".to_owned(), told);
    }
}

impl Moment {
    /// For the engine; `zone` is whose clock a moment without an offset is read on.
    #[must_use]
    pub fn rule(&self, zone: Option<&String>) -> At {
        match self {
            Moment::Instant(at) => At::Instant(*at),
            Moment::Civil(at) => At::Civil { text: at.to_string().into(), zone: zone.map(|zone| zone.as_str().into()) },
        }
    }
}

/// A time of day in minutes, 0 to 1440: `07:30`, and `24:00` for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = time_schema)]
pub struct TimeOfDay(pub u16);

impl FromStr for TimeOfDay {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<TimeOfDay, Wrong> {
        let wrong = || Wrong::new("is no time of day", "write hours and minutes in quotes, as in \"22:00\"");
        let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str, length_min: usize| -> Option<u16> {
            let is_plain = (length_min..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            if is_plain { digits.parse().ok() } else { None }
        };
        let (hours, minutes) = number(hours, 1).zip(number(minutes, 2)).ok_or_else(wrong)?;
        if minutes > 59 || hours * 60 + minutes > 1440 {
            return Err(Wrong::new("is beyond the end of a day", "write 00:00 to 24:00"));
        }
        Ok(TimeOfDay(hours * 60 + minutes))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

fn time_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": "string",
        "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$|^24:00$",
        "examples": ["22:00"],
        "x-type": "time",
        "x-rule": "it takes a time of day such as \"22:00\"",
    });
}

/// Days of the week as bits, 0 for Sunday: `mon-fri`, `sat,sun`, or a list of such texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = days_schema)]
pub struct Days(pub u8);

impl Default for Days {
    fn default() -> Days {
        Days(0x7f)
    }
}

impl FromStr for Days {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Days, Wrong> {
        let mut bits = 0;
        for item in text.split(',').map(str::trim) {
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            let (from, to) = (place(from)?, place(to)?);
            // `fri-mon` goes over Sunday.
            let length = (to + DAYS.len() - from) % DAYS.len();
            for (_, bit) in DAYS.iter().cycle().skip(from).take(length + 1) {
                bits |= 1 << bit;
            }
        }
        Ok(Days(bits))
    }
}

/// Which day a word names, from 0 for Monday.
fn place(word: &str) -> Result<usize, Wrong> {
    let lower = word.trim().to_ascii_lowercase();
    let is_meant = |(name, _): &(&str, u8)| {
        lower == *name || (lower.len() > 3 && FULL.contains(&&*lower) && lower.starts_with(name))
    };
    DAYS.iter().position(is_meant).ok_or_else(|| Wrong::new("is no list of days of the week", DAYS_HELP))
}

const FULL: &[&str] = &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// In the order of the week, three and more in a row as a range.
impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit: u8| self.0 >> bit & 1 == 1;
        let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
        for (name, bit) in DAYS {
            match groups.last_mut() {
                Some(group) if has(bit) => group.push(name),
                Some(group) if !group.is_empty() => groups.push(Vec::new()),
                Some(_) | None => {}
            }
        }
        let texts = groups.iter().filter(|group| !group.is_empty()).map(|group| match group.as_slice() {
            [first, _, .., last] => format!("{first}-{last}"),
            few => few.join(","),
        });
        f.write_str(&texts.collect::<Vec<_>>().join(","))
    }
}

fn days_schema(schema: &mut Schema) {
    let any_case = |text: &str| text.chars().map(|c| format!("[{c}{}]", c.to_ascii_uppercase())).collect::<String>();
    let day = |full: &&str| {
        let (short, rest) = full.split_at(3);
        format!("{}({})?", any_case(short), any_case(rest))
    };
    let day = format!("({})", FULL.iter().map(day).collect::<Vec<_>>().join("|"));
    let item = format!("{day}(-{day})?");
    let pattern = format!("^{item}(, *{item})*$");
    *schema = json_schema!({
        "type": ["string", "array"],
        "pattern": pattern,
        "minItems": 1,
        "maxItems": 7,
        "items": { "type": "string", "pattern": pattern, "x-type": "days", "x-rule": "it takes a day of the week such as mon" },
        "examples": ["mon-fri", ["sat", "sun"]],
        "x-type": "days",
        "x-rule": "it takes days of the week such as mon-fri",
    });
}

impl Serialize for Days {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Days, D::Error> {
        let text = match DaysText::deserialize(deserializer)? {
            DaysText::One(text) => text,
            DaysText::Many(texts) => texts.join(","),
        };
        text.parse().map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum DaysText {
    One(String),
    Many(Vec<String>),
}

/// Text in, [`FromStr`] and [`fmt::Display`] do the rest.
macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
as_text!(TimeOfDay);
