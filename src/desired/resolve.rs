//! Which objects the words on a command line mean.
//!
//! In: `KIND/NAME`, `KIND NAME…` or unique bare names, and the objects there are. Out: the objects meant.
//! Not here: what is done with them. The surprise: two words may be a kind and a name or two names; the first reading
//! wins when the first word is a kind.

use std::collections::BTreeSet;

use super::registry;
use crate::engine::ObjectRef;
use crate::kind::KINDS;

/// How many names a message lists.
const NAMED_MAX: usize = 5;

/// Why words mean no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No such objects; one message each.
    #[error("{}", .0.join("\nerror: "))]
    NotFound(Vec<String>),
    /// Several objects have the name.
    #[error("`{word}` may be {}\n  help: write KIND/NAME", candidates.join(" or "))]
    Ambiguous {
        /// The name.
        word: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
}

/// The objects that these words mean, each once, in the order of the words. Every unknown word is reported.
///
/// # Errors
/// When a word means no object, or more than one.
pub fn resolve(known: &BTreeSet<ObjectRef>, words: &[String]) -> Result<Vec<ObjectRef>, Unresolved> {
    let words: Vec<String> = match words {
        [kind, names @ ..] if is_kind_and_names(kind, names) => {
            names.iter().map(|name| format!("{kind}/{name}")).collect()
        }
        _ => words.to_vec(),
    };
    let mut found: Vec<ObjectRef> = Vec::new();
    let mut missing = Vec::new();
    for word in &words {
        match one(known, word)? {
            Ok(id) if found.contains(&id) => {}
            Ok(id) => found.push(id),
            Err(text) => missing.push(text),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(Unresolved::NotFound(missing)) }
}

fn is_kind_and_names(kind: &str, names: &[String]) -> bool {
    !names.is_empty() && registry::named(kind).is_some() && names.iter().all(|name| !name.contains('/'))
}

fn one(known: &BTreeSet<ObjectRef>, word: &str) -> Result<Result<ObjectRef, String>, Unresolved> {
    let Some((kind, name)) = word.split_once('/') else {
        let candidates: Vec<&ObjectRef> = known.iter().filter(|id| id.name() == word).collect();
        return match candidates.as_slice() {
            [] => Ok(Err(not_found(known, word))),
            [id] => Ok(Ok((*id).clone())),
            [..] => {
                let candidates = candidates.iter().map(ToString::to_string).collect();
                Err(Unresolved::Ambiguous { word: word.to_owned(), candidates })
            }
        };
    };
    // Objects of a kind this binary does not know may still be there, under its plain name.
    let lower = kind.to_ascii_lowercase();
    let kind_name = registry::named(kind).map_or(lower.as_str(), |def| def.lower);
    let id = ObjectRef::new(kind_name, name).ok();
    if let Some(id) = id.filter(|id| known.contains(id)) {
        return Ok(Ok(id));
    }
    // `web/1`, or `web/one` of an item: the short form of an instance.
    let named = |id: &&ObjectRef| registry::named(kind).is_none() && id.name() == kind;
    if let Some(owner) = known.iter().find(named) {
        return Ok(Err(format!("there is no kind `{kind}`\n  help: an instance is written {owner}/{name}")));
    }
    if registry::named(kind).is_none() && !known.iter().any(|id| id.kind() == kind_name) {
        let kinds = KINDS.iter().map(|def| def.lower);
        let guess = nearest(&lower, kinds.clone());
        let all = || format!("there are: {}", kinds.collect::<Vec<_>>().join(", "));
        let help = guess.map_or_else(all, |guess| format!("did you mean `{guess}/{name}`?"));
        return Ok(Err(format!("there is no kind `{kind}`\n  help: {help}")));
    }
    Ok(Err(not_found(known, &format!("{kind_name}/{name}"))))
}

fn not_found(known: &BTreeSet<ObjectRef>, word: &str) -> String {
    if registry::named(word).is_some() {
        return format!("there is no `{word}`, and it is a kind\n  help: name objects of it: {word}/NAME");
    }
    if let Some(id) = known.iter().find(|id| word.strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('/'))) {
        return format!("`{word}` is an instance, and this is about whole objects\n  help: write {id}");
    }
    let name = word.rsplit('/').next().unwrap_or(word);
    let guess = nearest(name, known.iter().map(ObjectRef::name));
    let alike: Vec<&str> =
        known.iter().filter(|id| Some(id.name()) == guess).map(ObjectRef::as_str).take(NAMED_MAX).collect();
    match (alike.is_empty(), known.is_empty()) {
        (false, _) => format!("there is no `{word}`\n  help: did you mean `{}`?", alike.join("` or `")),
        (true, false) => format!("there is no `{word}`\n  help: setpoint get lists what there is"),
        (true, true) => {
            format!("there is no `{word}`\n  help: this home holds nothing at all; setpoint apply -f PATH adds to it")
        }
    }
}

/// The word that was most likely meant, when one is near enough.
fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if word.len() < 4 { 1 } else { 2 };
    let rated = among.map(|other| (strsim::damerau_levenshtein(word, other), other));
    rated.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}
