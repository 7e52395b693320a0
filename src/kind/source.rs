//! Where the messages of a mailbox come from, as people write it.
//!
//! In: names of Channels, `{folder: …}`, `{http: …}`. Out: sources for the engine. Not here: listening.
//! The surprise: what a service is asked with is the same as a call of a Capability, so its secrets travel the same way.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::capability::Http;
use super::command::check_text;
use super::process::Process;
use super::units::Duration;
use super::{FieldError, shown};
use crate::engine::plan::{Command, Launch};
use crate::engine::queue::{Poll, Source};
use crate::engine::run::Way;

/// The most sources.
const SOURCES_MAX: usize = 20;

/// How often a service is asked by default, and how often at most.
const EVERY: std::time::Duration = std::time::Duration::from_secs(30);
const EVERY_MIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What a call that says that a message is done may refer to.
const MESSAGE_ID: &str = "message.id";

/// One source.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = from_schema)]
pub enum From {
    /// A Channel.
    Channel(String),
    /// A folder, or a service.
    Place(Box<Place>),
}

/// A folder that files are put into, or a service that is asked; exactly one of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Place {
    /// A folder that files are put into, each a message, and removed when it is kept. Write a file under another name or
    /// in `tmp/` below it, and rename it; names that begin with `.` or end with `.tmp`, `.part` or `~` are not read. What
    /// cannot be taken goes to `failed/` below it, with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["/srv/inbox/drop"]))]
    folder: Option<String>,
    /// A service that is asked for messages, whose answer is JSON. `cursor` goes along as a parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    /// How often; 30 s by default, and more rarely while it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["30s"]))]
    every: Option<Duration>,
    /// The way to the list of messages in the answer, with points between: `data.messages`. The answer itself by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["data.messages"]))]
    items: Option<String>,
    /// The way to the id in each message; `id` by default. One id is one message, however often it comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["id"]))]
    id: Option<String>,
    /// The way to what the next request is told as the parameter `cursor`, in the answer. It outlives the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["data.next"]))]
    cursor: Option<String>,
    /// How the service is told that a message is over, done or dead. `{id}` in the address stands for its id, as does
    /// `{from: message.id}` in headers and body. It is called again until it succeeds, and so maybe twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Http>,
}

fn from_schema(schema: &mut Schema) {
    let mut place = super::schema::of_spec::<Place>().to_value();
    let properties = place.get_mut("properties").map(Json::take).unwrap_or_default();
    *schema = json_schema!({
        "type": ["string", "object"],
        "minLength": 1,
        "properties": properties,
        "additionalProperties": false,
        "examples": [{ "folder": "/srv/inbox/drop" }],
        "x-rule": "it takes the name of a Channel, { folder: PATH }, or { http: { url: ADDRESS } }",
    });
}

/// Says what is wrong with the sources of a mailbox.
pub fn check(all: &[From], errors: &mut Vec<FieldError>) {
    if all.len() > SOURCES_MAX {
        errors.push(FieldError::new(&["from"], "has more than 20 entries", "write at most 20"));
    }
    for (index, from) in all.iter().enumerate() {
        let index = index.to_string();
        match from {
            From::Channel(_) => {
                let help = "remove it; use `setpoint send`, or { folder: /srv/inbox/drop }";
                errors.push(FieldError::new(&["from", &index], "is a Channel, and this version has none", help));
            }
            From::Place(place) => place.check(&["from", &index], errors),
        }
    }
}

impl From {
    /// For the engine.
    #[must_use]
    pub fn source(&self, process: &Process) -> Option<Source> {
        match self {
            From::Channel(_) => None,
            From::Place(place) => match (&place.folder, &place.http) {
                (Some(folder), _) => Some(Source::Folder(Arc::from(folder.as_str()))),
                (None, Some(http)) => Some(Source::Poll(Arc::new(place.poll(http, process)))),
                (None, None) => None,
            },
        }
    }
}

impl Place {
    fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        let of_service = [
            ("every", self.every.is_some()),
            ("items", self.items.is_some()),
            ("id", self.id.is_some()),
            ("cursor", self.cursor.is_some()),
            ("done", self.done.is_some()),
        ];
        match (&self.folder, &self.http) {
            (None, None) => {
                let help =
                    "write { folder: /srv/inbox/drop }, or { http: { url: https://messages.example.com/pending } }";
                errors.push(FieldError::new(path, "does not say where messages come from", help));
            }
            (Some(_), Some(_)) => {
                let what = "stands beside `folder`, but one entry is one source";
                errors.push(FieldError::of_name(&at("http"), what, "make it an entry of its own"));
            }
            (Some(folder), None) => {
                check_text(&at("folder"), folder, errors);
                for (field, _) in of_service.into_iter().filter(|(_, is_given)| *is_given) {
                    errors.push(FieldError::of_name(&at(field), "goes with `http`", "remove it"));
                }
            }
            (None, Some(http)) => self.check_service(http, path, errors),
        }
    }

    fn check_service(&self, http: &Http, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |field: &'static str| path.iter().copied().chain([field]).collect::<Vec<&str>>();
        http.check(&at("http"), errors);
        let refers = |field: &'static str, http: &Http, known: &str, errors: &mut Vec<FieldError>| {
            for (steps, found) in http.references().into_iter().filter(|(_, found)| *found != known) {
                let place: Vec<&str> = at(field).into_iter().chain(steps).collect();
                let what = format!("refers to {}, which is not known here", shown(found));
                let help = if known.is_empty() { "write it as it is sent" } else { "write message.id" };
                errors.push(FieldError::new(&place, what, help));
            }
        };
        refers("http", http, "", errors);
        if let Some(done) = &self.done {
            done.check(&at("done"), errors);
            refers("done", done, MESSAGE_ID, errors);
        }
        if self.every.is_some_and(|every| every.0 < EVERY_MIN) {
            errors.push(FieldError::new(&at("every"), "is less than a second", "write 1s or more"));
        }
        if self.cursor.is_some() && http.has_body() {
            let what = "goes along in the place of a body, and there is one";
            errors.push(FieldError::of_name(&at("cursor"), what, "remove the cursor, or the body"));
        }
        for (field, text) in [("items", &self.items), ("id", &self.id), ("cursor", &self.cursor)] {
            if text.as_ref().is_some_and(|text| text.split('.').any(|step| step.is_empty())) {
                let help = "write names with points between, as in data.messages";
                errors.push(FieldError::new(&at(field), "has an empty step", help));
            }
        }
    }

    fn poll(&self, http: &Http, process: &Process) -> Poll {
        let way = |http: &Http| {
            let mut launch: Launch = process.launch(Command::Own(vec!["call".to_owned()]));
            let orders = json!({ "http": http.orders(&mut launch) });
            Way { orders, launch: Arc::new(launch) }
        };
        let text = |text: &Option<String>, default: &str| Arc::from(text.as_deref().unwrap_or(default));
        Poll {
            ask: way(http),
            done: self.done.as_ref().map(way),
            every: self.every.map_or(EVERY, |every| every.0),
            items: text(&self.items, ""),
            id: text(&self.id, "id"),
            cursor: self.cursor.as_deref().map(Arc::from),
        }
    }
}
