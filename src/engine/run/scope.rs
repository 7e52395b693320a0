//! References: what `{from: …}` stands for, and how what it stands for becomes the value of a parameter.
//!
//! In: values as a manifest has them, what is known of a run by now. Out: plain values, or why one cannot be told.
//! Not here: whether a reference may stand somewhere (`kind`), what is done with the values ([`super::launch`]).
//! The surprise: only what a manifest says is ever looked through for references. What people, processes and strangers
//! give is data, whatever it looks like.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::ledger::{Output, Step};

/// The most bytes of an output that are passed on; those of a result in the store.
pub const OUTPUT_MAX: usize = 64 << 10;

/// What references stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    values: Json,
    /// Steps whose output is too long to be passed on, each with how long it is.
    cut: BTreeMap<Arc<str>, Arc<str>>,
}

/// Values with their references resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// The values.
    pub values: Json,
    /// The fields that are left out, because what they refer to was not given; each with the path.
    pub absent: BTreeMap<String, String>,
}

impl Scope {
    /// These parameters, and the steps that are over.
    #[must_use]
    pub fn new<'a>(params: Json, over: impl IntoIterator<Item = (&'a Arc<str>, &'a Step)>) -> Scope {
        let (mut steps, mut cut) = (Map::new(), BTreeMap::new());
        for (id, step) in over {
            let mut fields = Map::from_iter([("outcome".to_owned(), json!(step.outcome.word()))]);
            match &step.output {
                Output::Whole(output) => _ = fields.insert("output".to_owned(), (**output).clone()),
                Output::Cut { size } => _ = cut.insert(id.clone(), size.clone()),
            }
            steps.insert(id.to_string(), Json::Object(fields));
        }
        Scope { values: json!({ "params": params, "steps": steps }), cut }
    }

    /// The same beside other values, which stand behind them where names meet.
    #[must_use]
    pub fn beside<'a>(values: Json, params: Json, over: impl IntoIterator<Item = (&'a Arc<str>, &'a Step)>) -> Scope {
        let own = Scope::new(params, over);
        Scope { values: super::params::merged(&values, &own.values), cut: own.cut }
    }

    /// Values that are known as a whole.
    #[must_use]
    pub fn of(values: Json) -> Scope {
        Scope { values, cut: BTreeMap::new() }
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &Json {
        self.values.get("params").unwrap_or(&Json::Null)
    }

    /// Everything by name, as an expression sees it.
    #[must_use]
    pub fn values(&self) -> &Json {
        &self.values
    }

    /// Why what this path leads to cannot be passed on, if so.
    ///
    /// # Errors
    /// It is part of an output that is too long.
    pub fn may_pass(&self, path: &str) -> Result<(), Arc<str>> {
        let mut words = path.split('.');
        let (Some("steps"), Some(id), part) = (words.next(), words.next(), words.next()) else { return Ok(()) };
        match self.cut.get(id) {
            Some(size) if part != Some("outcome") => Err(format!(
                "the output of {id} is {size}, at most {OUTPUT_MAX} can be passed on: write it to a file and pass its \
                 path"
            )
            .into()),
            Some(_) | None => Ok(()),
        }
    }

    /// What a path leads to; none when that was not given.
    fn look_up(&self, path: &str) -> Result<Option<&Json>, Arc<str>> {
        self.may_pass(path)?;
        let mut words = path.split('.').map(|word| if word == "__params__" { "params" } else { word });
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let nothing = || Arc::from(format!("{{from: {path}}} stands for nothing"));
        let known = self.values.get(first).ok_or_else(nothing)?;
        let Some(second) = second else { return Ok(Some(known)) };
        let at = known.get(second);
        let (at, mut words) = match (first, at) {
            // Names are checked when a manifest is applied: one that is not here was not given.
            ("params", None) => return Ok(None),
            ("steps", Some(step)) => match words.next() {
                None => return Ok(Some(step)),
                Some(part) => match step.get(part) {
                    // It was skipped.
                    Some(Json::Null) => return Ok(None),
                    at => (at, words),
                },
            },
            (_, at) => (at, words),
        };
        let found = words.try_fold(at.ok_or_else(nothing)?, |value, word| match value {
            Json::Array(items) => items.get(word.parse::<usize>().ok()?),
            other => other.get(word),
        });
        found.map(Some).ok_or_else(nothing)
    }

    /// The value with each reference replaced by what it stands for; what was not given is left out.
    ///
    /// # Errors
    /// Which reference stands for nothing, or for what is too long.
    pub fn fill(&self, value: &Json) -> Result<Option<Json>, Arc<str>> {
        if let Some(path) = reference(value) {
            return Ok(self.look_up(path)?.cloned());
        }
        Ok(Some(match value {
            Json::Array(items) => {
                let filled = items.iter().filter_map(|item| self.fill(item).transpose());
                Json::Array(filled.collect::<Result<_, _>>()?)
            }
            Json::Object(fields) => {
                let filled = fields.iter().filter_map(|(name, field)| {
                    let field = self.fill(field).transpose()?;
                    Some(field.map(|field| (name.clone(), field)))
                });
                Json::Object(filled.collect::<Result<_, _>>()?)
            }
            plain @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => plain.clone(),
        }))
    }

    /// The same for the parameters of something with this schema: what stands for a reference is spelled as it asks.
    ///
    /// # Errors
    /// As [`Scope::fill`].
    pub fn fill_params(&self, with: &Json, schema: Option<&Json>) -> Result<Filled, Arc<str>> {
        let mut values = self.fill(with)?.unwrap_or_else(|| Json::Object(Map::new()));
        if let Some(schema) = schema {
            fit(schema, with, &mut values);
        }
        let fields = with.as_object().into_iter().flatten();
        let absent = fields.filter(|(name, _)| values.get(name.as_str()).is_none());
        let absent = absent.filter_map(|(name, value)| Some((name.clone(), reference(value)?.to_owned())));
        Ok(Filled { absent: absent.collect(), values })
    }
}

/// The part of values that these paths lead to: what an expression does not name costs it nothing.
#[must_use]
pub fn named<'a>(values: &Json, paths: impl IntoIterator<Item = &'a [String]>) -> Json {
    let mut named = Map::new();
    paths.into_iter().for_each(|path| graft(&mut named, values, path));
    Json::Object(named)
}

/// `params.a.b`, `message.fields.x.0`; nothing where it leads nowhere.
#[must_use]
pub fn look_up<'a>(values: &'a Json, path: &str) -> Option<&'a Json> {
    path.split('.').try_fold(values, |value, word| match value {
        Json::Array(items) => items.get(word.parse::<usize>().ok()?),
        other => other.get(word),
    })
}

/// Puts what a path leads to into the same place of another tree; nothing where it leads nowhere.
fn graft(into: &mut Map<String, Json>, from: &Json, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match from.get(first) {
        None => {}
        Some(value @ Json::Object(_)) if !rest.is_empty() => {
            let below = into.entry(first.clone()).or_insert_with(|| Json::Object(Map::new()));
            if let Some(below) = below.as_object_mut() {
                graft(below, value, rest);
            }
        }
        Some(value) => _ = into.insert(first.clone(), value.clone()),
    }
}

/// Spells what references stood for as a schema asks: the text `5` is a number where one is wanted.
fn fit(schema: &Json, written: &Json, value: &mut Json) {
    if reference(written).is_some() {
        if let Some(fitting) = spelled(schema, value) {
            *value = fitting;
        }
        return;
    }
    match (written, value) {
        (Json::Object(written), Json::Object(values)) => {
            for (name, value) in values {
                let inner = schema.get("properties").and_then(|fields| fields.get(name.as_str()));
                if let (Some(inner), Some(written)) = (inner, written.get(name)) {
                    fit(inner, written, value);
                }
            }
        }
        (Json::Array(written), Json::Array(values)) if written.len() == values.len() => {
            if let Some(inner) = schema.get("items") {
                written.iter().zip(values).for_each(|(written, value)| fit(inner, written, value));
            }
        }
        (_, _) => {}
    }
}

/// The same value in the type a schema asks for, if it spells one of that type and is none.
fn spelled(schema: &Json, value: &Json) -> Option<Json> {
    let kinds: Vec<&str> = match schema.get("type")? {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
    };
    let wants = |kind: &str| kinds.contains(&kind);
    match value {
        Json::String(text) if !wants("string") => {
            let meant = exact(text.trim()).ok()?;
            let is_wanted = match &meant {
                Json::Number(number) => wants("number") || (wants("integer") && !number.is_f64()),
                Json::Bool(_) => wants("boolean"),
                Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => false,
            };
            is_wanted.then_some(meant)
        }
        // The characters of a fraction are not known any more: 1.10 would become 1.1.
        Json::Number(number) if wants("string") && !wants("number") && !wants("integer") && !number.is_f64() => {
            Some(Json::String(number.to_string()))
        }
        Json::Bool(truth) if wants("string") && !wants("boolean") => Some(Json::String(truth.to_string())),
        Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// JSON as it stands.
///
/// # Errors
/// When it is none, or has a whole number that 64 bits do not hold, whose digits would be lost.
pub fn exact(text: &str) -> Result<Json, String> {
    let value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    match large(text) {
        Some(number) => {
            let shown: String = number.chars().take(40).collect();
            Err(format!("has the number {shown}, which is larger than 64 bits hold; give it as text: \"{shown}\""))
        }
        None => Ok(value),
    }
}

/// The first whole number in a JSON text that does not fit into 64 bits.
fn large(text: &str) -> Option<&str> {
    let (mut is_text, mut is_escaped, mut begin) = (false, false, None);
    for (at, byte) in text.bytes().chain([b' ']).enumerate() {
        let is_part = byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        match (is_text, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (true, b'"') => is_text = false,
            (true, _) => {}
            (false, _) if is_part => begin = begin.or(Some(at)),
            (false, _) => {
                is_text = byte == b'"';
                let number = begin.take().and_then(|begin| text.get(begin..at));
                let is_whole = |number: &&str| number.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                let fits = |number: &&str| number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
                // `true` and `false` have an `e`, too.
                let number = number.filter(|number| number.bytes().any(|b| b.is_ascii_digit()));
                if let Some(number) = number.filter(is_whole).filter(|number| !fits(number)) {
                    return Some(number);
                }
            }
        }
    }
    None
}

/// What somebody printed, as data: a JSON object or list where the whole of it is one, the text itself otherwise.
#[must_use]
pub fn output_of(text: &str) -> Json {
    let is_composed = text.trim_start().starts_with(['{', '[']);
    let composed = if is_composed { exact(text).ok() } else { None };
    composed.unwrap_or_else(|| Json::String(text.to_owned()))
}

/// The path of a reference, `{from: params.x}`.
#[must_use]
pub fn reference(value: &Json) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get("from")?.as_str()
}

/// True when a reference stands anywhere in it.
#[must_use]
pub fn has_reference(value: &Json) -> bool {
    reference(value).is_some()
        || match value {
            Json::Array(items) => items.iter().any(has_reference),
            Json::Object(fields) => fields.values().any(has_reference),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
        }
}

/// All references in it.
pub fn references<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    if let Some(path) = reference(value) {
        return found.push(path);
    }
    match value {
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| references(field, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::run::Outcome;

    fn step(outcome: Outcome, text: &str) -> Step {
        Step { outcome, output: Output::Whole(Arc::new(output_of(text))) }
    }

    #[test]
    fn an_output_is_an_object_or_a_list_or_the_text_itself() {
        for (text, expected) in [
            ("", json!("")),
            ("1.10", json!("1.10")),
            ("true", json!("true")),
            ("null", json!("null")),
            ("\"a\"", json!("\"a\"")),
            ("a\n", json!("a\n")),
            (" {\"a\": [1, 2.5]}\n", json!({ "a": [1, 2.5] })),
            ("[]", json!([])),
            ("{\"a\": 1} and more", json!("{\"a\": 1} and more")),
            ("{\"a\": 18446744073709551615}", json!({ "a": u64::MAX })),
            ("{\"a\": 18446744073709551616}", json!("{\"a\": 18446744073709551616}")),
            (
                "{\"a\": \"18446744073709551616 \\\" 18446744073709551616\"}",
                json!({ "a": "18446744073709551616 \" 18446744073709551616" }),
            ),
        ] {
            assert_eq!(output_of(text), expected, "{text}");
        }
    }

    #[test]
    fn references_stand_for_what_is_known_and_what_was_not_given_is_left_out() {
        let steps: BTreeMap<Arc<str>, Step> = BTreeMap::from([
            ("a".into(), step(Outcome::Ok, "{\"n\": 5, \"l\": [\"x\"], \"deep\": {\"from\": \"params.p\"}}")),
            ("none".into(), Step { outcome: Outcome::Skipped, output: Output::Whole(Arc::new(Json::Null)) }),
            ("long".into(), Step { outcome: Outcome::Ok, output: Output::Cut { size: "70000 bytes".into() } }),
        ]);
        let scope = Scope::new(json!({ "p": "1", "o": { "k": true } }), &steps);
        let of = |path: &str| scope.fill(&json!({ "from": path })).map_err(|why| why.to_string());
        assert_eq!(of("params.p"), Ok(Some(json!("1"))));
        assert_eq!(of("__params__.o.k"), Ok(Some(json!(true))));
        assert_eq!(of("params.q"), Ok(None));
        assert_eq!(of("params.q.deeper"), Ok(None));
        assert_eq!(of("params.o.x"), Err("{from: params.o.x} stands for nothing".to_owned()));
        assert_eq!(of("steps.a.output.l.0"), Ok(Some(json!("x"))));
        assert_eq!(of("steps.a.output.deep"), Ok(Some(json!({ "from": "params.p" }))), "data is not looked through");
        assert_eq!(of("steps.none.output"), Ok(None));
        assert_eq!(of("steps.none.outcome"), Ok(Some(json!("skipped"))));
        assert_eq!(of("steps.long.outcome"), Ok(Some(json!("ok"))));
        let why =
            "the output of long is 70000 bytes, at most 65536 can be passed on: write it to a file and pass its path";
        for path in ["steps.long", "steps.long.output", "steps.long.output.x"] {
            assert_eq!(of(path), Err(why.to_owned()), "{path}");
        }
        let nested =
            json!({ "a": [{ "from": "params.p" }, { "from": "params.q" }], "b": { "from": "params.q" }, "c": 1 });
        assert_eq!(scope.fill(&nested), Ok(Some(json!({ "a": ["1"], "c": 1 }))));
    }

    #[test]
    fn what_a_reference_stood_for_is_spelled_as_its_parameter_asks() {
        let schema = |kind: &str| json!({ "properties": { "x": { "type": kind }, "o": { "properties": { "x": { "type": kind } } } } });
        for (kind, given, expected) in [
            ("integer", json!("5"), json!(5)),
            ("integer", json!(" 5\n"), json!(5)),
            ("integer", json!("5.0"), json!("5.0")),
            ("integer", json!("007"), json!("007")),
            ("integer", json!("18446744073709551616"), json!("18446744073709551616")),
            ("number", json!("1.10"), json!(1.1)),
            ("number", json!("five"), json!("five")),
            ("boolean", json!("true"), json!(true)),
            ("boolean", json!("yes"), json!("yes")),
            ("string", json!("5"), json!("5")),
            ("string", json!(5), json!("5")),
            ("string", json!(true), json!("true")),
            ("string", json!(1.5), json!(1.5)),
            ("array", json!("[1]"), json!("[1]")),
        ] {
            let scope = Scope::new(json!({ "p": given }), []);
            let with = json!({ "x": { "from": "params.p" }, "o": { "x": { "from": "params.p" } } });
            let filled = scope.fill_params(&with, Some(&schema(kind))).expect("values");
            assert_eq!(filled.values, json!({ "x": expected, "o": { "x": expected } }), "{kind} {given}");
        }
        let scope = Scope::new(json!({}), []);
        let with = json!({ "x": "5", "y": { "from": "params.p" } });
        let filled = scope.fill_params(&with, Some(&schema("integer"))).expect("values");
        assert_eq!(filled.values, json!({ "x": "5" }), "what a manifest says stands");
        assert_eq!(filled.absent, BTreeMap::from([("y".to_owned(), "params.p".to_owned())]));
    }
}
