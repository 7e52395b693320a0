//! Durations, sizes, signals and numbers, as people write them.
//!
//! In: text such as `90s`, `512Mi` or `SIGTERM`, or a bare number where that is clear. Out: values, and for each the one
//! text that means it, so that `60s` and `1m` are no difference. Not here: which field takes what.
//! The surprise: one unit per value and no fractions, since `1h30m` and `1.5h` have every tool guess differently.

use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::engine::time::Span;

/// Why a value cannot be read, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The end of a sentence that starts with the field: "has no unit".
    pub what: String,
    /// What to write.
    pub help: String,
}

impl Wrong {
    /// This is wrong, and that is to be written.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), help: help.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl std::error::Error for Wrong {}

/// What is wrong with `text` as a value of this type, named as in the `x-type` of its schema.
#[must_use]
pub fn complaint(x_type: &str, text: &str) -> Option<Wrong> {
    match x_type {
        "duration" => text.parse::<Duration>().err(),
        "size" => text.parse::<Size>().err(),
        "signal" => text.parse::<Signal>().err(),
        "http" => text.parse::<super::address::HttpAddress>().err(),
        "tcp" => text.parse::<super::address::TcpAddress>().err(),
        "moment" => text.parse::<super::clock::Moment>().err(),
        "time" => text.parse::<super::clock::TimeOfDay>().err(),
        "days" => text.parse::<super::clock::Days>().err(),
        _ => None,
    }
}

/// A span of time: a whole number of at most nine digits and one of `ms s m h d`, or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, transform = duration_schema)]
pub struct Duration(#[schemars(with = "String")] pub StdDuration);

const DURATION_HELP: &str = "write a number and a unit: 500ms, 90s, 15m, 2h or 7d";

impl FromStr for Duration {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Duration, Wrong> {
        let (digits, unit) = split_number(text);
        if digits.is_empty() {
            return Err(if text.starts_with('-') {
                Wrong::new("is negative, but time does not run backwards", DURATION_HELP)
            } else {
                Wrong::new("is no duration", DURATION_HELP)
            });
        }
        if unit.starts_with(['.', ',']) {
            return Err(Wrong::new("has a fraction", "use a smaller unit: 1.5s is 1500ms, 1.5h is 90m"));
        }
        let number = parse_number(digits, 9)?;
        let millis_each = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if number == 0 => 1,
            other => return Err(duration_unit(digits, other)),
        };
        Ok(Duration(StdDuration::from_millis(number * millis_each)))
    }
}

/// The words for a unit that is none.
fn duration_unit(digits: &str, unit: &str) -> Wrong {
    if unit.is_empty() {
        return Wrong::new("has no unit", format!("write {digits}s for seconds; the units are ms, s, m, h and d"));
    }
    if unit.bytes().any(|b| b.is_ascii_digit()) {
        return Wrong::new("has more than one unit", "write it in the smaller unit: 1h30m is 90m");
    }
    let meant = match unit.trim().to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => Some("s"),
        "min" | "mins" | "minute" | "minutes" | "m" => Some("m"),
        "hr" | "hrs" | "hour" | "hours" | "h" => Some("h"),
        "day" | "days" | "d" => Some("d"),
        "msec" | "millis" | "milliseconds" | "ms" => Some("ms"),
        _ => None,
    };
    match meant {
        Some(meant) => Wrong::new("has an unknown unit", format!("write {digits}{meant}")),
        None => Wrong::new("has an unknown unit", "the units are ms, s, m, h and d, as in 500ms, 90s, 15m, 2h or 7d"),
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

fn duration_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "integer"],
        "pattern": "^(0|[0-9]{1,9}(ms|s|m|h|d))$",
        "minimum": 0,
        "maximum": 0,
        "examples": ["500ms", "90s", "15m", "2h", "7d"],
        "x-type": "duration",
        "x-rule": "it takes a duration such as 500ms, 90s, 15m, 2h or 7d",
    });
}

/// A number of bytes: a whole number, alone or with one of `Ki Mi Gi Ti` (powers of 1024) or `k M G T` (of 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, transform = size_schema)]
pub struct Size(pub u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1000),
];

const SIZE_HELP: &str = "write a number of bytes, or one with a unit: 512Ki, 50Mi, 1Gi, 50M";

impl FromStr for Size {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Size, Wrong> {
        let (digits, unit) = split_number(text);
        if digits.is_empty() {
            return Err(Wrong::new("is no size", SIZE_HELP));
        }
        if unit.starts_with(['.', ',']) {
            return Err(Wrong::new("has a fraction", "use a smaller unit: 1.5Gi is 1536Mi"));
        }
        if unit.is_empty() {
            return parse_number(digits, 15).map(Size);
        }
        let number = parse_number(digits, 6)?;
        let unit = if unit == "K" { "k" } else { unit };
        match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
            // Six digits of the largest unit fit 64 bits.
            Some((_, bytes)) => Ok(Size(number * bytes)),
            None => Err(size_unit(digits, unit)),
        }
    }
}

/// The words for a unit that is none.
fn size_unit(digits: &str, unit: &str) -> Wrong {
    let letter = unit.trim().chars().next().map(|letter| letter.to_ascii_uppercase());
    let known = letter.filter(|letter| "KMGT".contains(*letter));
    match known {
        Some(letter) => {
            let small = if letter == 'K' { 'k' } else { letter };
            let help = format!("write {digits}{letter}i (powers of 1024) or {digits}{small} (powers of 1000)");
            Wrong::new("has an unknown unit", help)
        }
        None => Wrong::new("has an unknown unit", SIZE_HELP),
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits =
            |(_, bytes): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*bytes) && self.0 / bytes < 1_000_000;
        match SIZE_UNITS.iter().find(fits) {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

fn size_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": ["string", "integer"],
        "pattern": "^([0-9]{1,15}|[0-9]{1,6}(Ki|Mi|Gi|Ti|k|K|M|G|T))$",
        "minimum": 0,
        "maximum": 999_999_999_999_999_u64,
        "examples": ["512Ki", "50Mi", "1Gi", "50M", 1_048_576],
        "x-type": "size",
        "x-rule": "it takes a size such as 512Ki, 50Mi or 1Gi",
    });
}

/// A signal by its Linux number; written by name, with or without `SIG`, or by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = signal_schema)]
pub struct Signal(pub i32);

const SIGNALS: &[(&str, i32)] = &[
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("KILL", 9),
    ("PIPE", 13),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
];

/// Signals that freeze a process instead of ending it.
const FREEZING: &[(&str, i32)] = &[("STOP", 19), ("TSTP", 20), ("TTIN", 21), ("TTOU", 22)];

impl FromStr for Signal {
    type Err = Wrong;
    fn from_str(text: &str) -> Result<Signal, Wrong> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
            return Ok(Signal(*number));
        }
        let is_number = text.len() <= 2 && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        let number = if is_number { text.parse().unwrap_or(0) } else { 0 };
        if FREEZING.iter().any(|(known, frozen)| *known == name || *frozen == number) {
            return Err(Wrong::new("freezes a process and ends nothing", "write TERM, INT, HUP or QUIT"));
        }
        if matches!(number, 1..=31 | 34..=64) {
            return Ok(Signal(number));
        }
        let upper = text.trim().to_ascii_uppercase();
        let meant = upper.strip_prefix("SIG").unwrap_or(&upper);
        let help = match SIGNALS.iter().find(|(known, _)| *known == meant) {
            Some((known, _)) => format!("write {known}"),
            None => "write a name such as TERM, INT, HUP, QUIT or USR1".to_owned(),
        };
        Err(Wrong::new("is no signal", help))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIGNALS.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

fn signal_schema(schema: &mut Schema) {
    let names: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
    let numbers = "[1-9]|1[0-8]|2[3-9]|3[014-9]|[45][0-9]|6[0-4]";
    *schema = json_schema!({
        "type": ["string", "integer"],
        "pattern": format!("^((SIG)?({})|{numbers})$", names.join("|")),
        "minimum": 1,
        "maximum": 64,
        "not": { "enum": [19, 20, 21, 22, 32, 33] },
        "examples": ["TERM", "INT", "QUIT", "USR1"],
        "x-type": "signal",
        "x-rule": "it takes a signal such as TERM, INT, HUP or QUIT",
    });
}

/// A number of at least 1 with at most three decimals, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = factor_schema)]
pub struct Factor(pub u32);

impl Factor {
    /// The largest: 1000.
    pub const MAX_MILLI: u32 = 1_000_000;
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            return serializer.serialize_u32(self.0 / 1000);
        }
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Factor, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if !(1.0..=f64::from(Self::MAX_MILLI / 1000)).contains(&number) {
            return Err(de::Error::custom("a factor is a number from 1 to 1000"));
        }
        // In range, so the cast neither wraps nor saturates.
        Ok(Factor((number * 1000.0).round() as u32))
    }
}

fn factor_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": "number",
        "minimum": 1,
        "maximum": 1000,
        "examples": [1, 1.5, 2],
        "x-rule": "it multiplies a delay: 1 to 1000",
    });
}

/// A number of cores with at most three decimals, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = cores_schema)]
pub struct Cores(pub u32);

impl Serialize for Cores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Factor(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cores, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if !(0.01..=1000.0).contains(&number) {
            return Err(de::Error::custom("cores are a number from 0.01 to 1000"));
        }
        // In range, so the cast neither wraps nor saturates.
        Ok(Cores((number * 1000.0).round() as u32))
    }
}

fn cores_schema(schema: &mut Schema) {
    *schema = json_schema!({
        "type": "number",
        "minimum": 0.01,
        "maximum": 1000,
        "examples": [0.5, 2],
        "x-rule": "it counts cores: 0.01 to 1000",
    });
}

/// Text that may be written as a number or a boolean, as values of environment variables are.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, transform = text_schema)]
pub struct Text(pub String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(Scalar { booleans: true, wanted: "text" }).map(Text)
    }
}

fn text_schema(schema: &mut Schema) {
    *schema = json_schema!({ "type": ["string", "number", "boolean"], "x-rule": "it takes text" });
}

/// Reads a whole number that fits 32 bits, also when it is written `2.0` or `1e3`.
///
/// # Errors
/// When it is negative, has a fraction or is too large.
pub fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = deserializer.deserialize_any(Scalar { booleans: false, wanted: "a whole number" })?;
    text.parse().map_err(|_| de::Error::custom(format!("a whole number is needed, not {text}")))
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

fn parse_number(digits: &str, digits_max: usize) -> Result<u64, Wrong> {
    let too_large = || Wrong::new("is too large", format!("write at most {digits_max} digits and a larger unit"));
    if digits.len() > digits_max {
        return Err(too_large());
    }
    digits.parse().map_err(|_| too_large())
}

/// Reads a scalar as text; whole numbers come without a fraction.
struct Scalar {
    booleans: bool,
    wanted: &'static str,
}

impl de::Visitor<'_> for Scalar {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        if self.booleans { Ok(value.to_string()) } else { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) }
    }
}

/// Text and numbers in, [`FromStr`] and [`fmt::Display`] do the rest.
macro_rules! as_text {
    ($type:ty, $wanted:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = deserializer.deserialize_any(Scalar { booleans: false, wanted: $wanted })?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}
as_text!(Duration, "a duration");
as_text!(Size, "a size");
as_text!(Signal, "a signal");
