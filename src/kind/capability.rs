//! Capability: a named action that others use, with what it takes.
//!
//! In: a spec as JSON. Out: a rule whose runs arise when somebody asks, and the action for those that use it.
//! Not here: making calls (`setpoint call`).
//! The surprise: a header that comes from elsewhere is no part of the orders of a call: those name a variable, and the
//! process that makes the call finds the value in its own environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::command::{Run, check_argv, check_text};
use super::header::{Header, add_headers, check_headers};
use super::params::{self, Written};
use super::process::{Process, canonical, joined, only, read, without};
use super::units::Duration;
use super::work::check_timeout;
use super::{Effect, FieldError, KindDef, Parsed, Runs, shown};
use crate::engine::plan::{Command, Launch};
use crate::engine::run::scope::references;
use crate::engine::run::{self, Arises, History, Overlap, Params, RunRule, Way, Work};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Capability",
    lower: "capability",
    plural: "capabilities",
    short: &["cap"],
    summary: "A named action with parameters, which Jobs, CronJobs and Workflows use.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &["envFile", "env.*.fromFile", "http.headers.*.fromFile", "mcp.headers.*.fromFile"],
    texts: &["env"],
    later: &[],
};

/// How many runs of it there are at once, beside those of what uses it.
const AT_ONCE: u32 = 10;

/// What it does and what it takes. Exactly one of run, http and mcp.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Spec {
    /// What to run. Parameters come as JSON on standard input and as SETPOINT_PARAM_NAME, and never in the line. A text
    /// is a line for `/bin/sh -c` (executed directly when it needs no shell); a list is the exact program and its
    /// arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// A request over HTTP. Parameters are its body, or part of the address for a method without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    /// A tool of a server that speaks the Model Context Protocol. Parameters are its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp: Option<Mcp>,
    /// What it takes: names, each with type, required, default, description, enum, pattern and so on; or a JSON Schema.
    /// Nothing by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": { "type": "string", "required": true } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to what they are"))]
    params: Option<Written>,
    /// What a mistake costs.
    risk: Risk,
    /// The longest one run of it may take; then it is stopped. No limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
}

/// A request over HTTP.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Http {
    /// GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    #[serde(default)]
    method: Method,
    /// The address.
    #[schemars(length(min = 1), extend("examples" = ["https://hooks.example.com/deploy"]))]
    url: String,
    /// Its headers. A value is text, or comes at each call from elsewhere, after a prefix: fromEnv, fromFile,
    /// fromCommand, or `from: params.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("examples" = [{ "Authorization": { "prefix": "Bearer ", "fromFile": "secrets/token" } }]))]
    #[schemars(extend("x-rule" = "it maps names of headers to text"))]
    headers: BTreeMap<String, Header>,
    /// What is sent in the place of the parameters: a text as it stands, anything else as JSON. `{from: params.NAME}`
    /// stands for a parameter; one that is not given is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "body_schema")]
    body: Option<Json>,
    /// The answers that are a success; any from 200 to 299 when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(range(min = 100, max = 599)), extend("examples" = [[200, 404]]))]
    expect: Vec<u16>,
}

fn body_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({ "examples": [{ "text": "deployed" }] })
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// A tool of an MCP server.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mcp {
    /// A program that is started for each call, as a list, or the address of a server.
    server: Server,
    /// The name of the tool.
    #[schemars(length(min = 1), extend("examples" = ["create_issue"]))]
    tool: String,
    /// Headers of each request, for a server that has an address; as in http.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("x-rule" = "it maps names of headers to text"))]
    headers: BTreeMap<String, Header>,
}

/// An MCP server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = server_schema)]
enum Server {
    Argv(Vec<String>),
    Url(String),
}

impl Default for Server {
    fn default() -> Server {
        Server::Argv(Vec::new())
    }
}

fn server_schema(schema: &mut Schema) {
    let told = schema.get("description").cloned();
    *schema = json_schema!({
        "type": ["string", "array"],
        "minLength": 1,
        "items": { "type": "string", "x-rule": "arguments are text" },
        "minItems": 1,
        "examples": [["npx", "-y", "@acme/issues"], "https://mcp.example.com/mcp"],
        "x-rule": "it takes a program and its arguments as a list, or an address",
    });
    if let Some(told) = told {
        schema.insert("description".to_owned(), told);
    }
}

/// What a mistake costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum Risk {
    /// nothing
    Low,
    /// what it usually costs
    #[default]
    Moderate,
    /// so much that a person has to agree every single time
    High,
}

fn schema() -> Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "run" | "http" | "mcp" | "params" | "risk" | "timeout" => Effect::Live,
        _ if Process::FIELDS.contains(&field) => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let process: Process = read(only(value, Process::FIELDS), DEF.lower)?;
    let spec: Spec = read(without(value, Process::FIELDS), DEF.lower)?;
    let mut errors = Vec::new();
    spec.check(&mut errors);
    process.check(true, &mut errors);
    let params = params::rule(spec.params.as_ref()).map_err(|more| errors.extend(more));
    if let Ok(params) = &params {
        spec.check_references(params, &mut errors);
    }
    let (Ok(params), Some(work), true) = (params, spec.work(&process), errors.is_empty()) else { return Err(errors) };
    let risk = match spec.risk {
        Risk::Low => run::Risk::Low,
        Risk::Moderate => run::Risk::Moderate,
        Risk::High => run::Risk::High,
    };
    let rule = RunRule {
        work: work.clone(),
        arises: Arises::Asked,
        policy: process.policy(),
        timeout: spec.timeout.map(|timeout| timeout.0),
        retry: run::Retry::NONE,
        overlap: Overlap::Allow(AT_ONCE),
        history: History::DEFAULT,
        params: params.clone(),
        is_resumed: false,
        risk,
    };
    let written = canonical(&spec, &Spec::default());
    let revision = joined([written.clone(), process.revised(true)]).to_string();
    let part = super::RunsPart::Capability(run::Capability { work, params, risk, timeout: rule.timeout });
    let kind = Runs { rule, revision, needs: Vec::new(), part };
    Ok(Parsed { kind: Arc::new(kind), spec: joined([written, process.canonical(true)]), references: Vec::new() })
}

impl Spec {
    /// What types cannot say.
    fn check(&self, errors: &mut Vec<FieldError>) {
        let choices = [("run", self.run.is_some()), ("http", self.http.is_some()), ("mcp", self.mcp.is_some())];
        let given: Vec<&str> = choices.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        match given.as_slice() {
            [] => {
                let help = "write one of run, http and mcp, as in `run: ./deploy.sh`";
                errors.push(FieldError::new(&[], "does not say what it does", help));
            }
            [_] => {}
            [first, more @ ..] => {
                for second in more {
                    let what = format!("stands beside `{first}`, but a Capability does exactly one thing");
                    errors.push(FieldError::of_name(&[second], what, format!("keep `{first}` or `{second}`")));
                }
            }
        }
        self.run.iter().for_each(|run| run.check(errors));
        self.http.iter().for_each(|http| http.check(&["http"], errors));
        self.mcp.iter().for_each(|mcp| mcp.check(errors));
        check_timeout(&["timeout"], self.timeout, errors);
    }

    /// Checks what `{from: …}` stands for in a body and in headers: parameters alone.
    fn check_references(&self, params: &Params, errors: &mut Vec<FieldError>) {
        let http = self.http.iter().flat_map(Http::references).map(|(mut steps, path)| {
            steps.insert(0, "http");
            (steps, path)
        });
        let mcp = self.mcp.iter().flat_map(|mcp| &mcp.headers).filter_map(|(name, header)| match header {
            Header::Literal(_) => None,
            Header::From(source) => Some((vec!["mcp", "headers", name.as_str(), "from"], source.from.as_deref()?)),
        });
        let known = params.names();
        for (at, path) in http.chain(mcp) {
            let name = path.strip_prefix("params.").map(|rest| rest.split('.').next().unwrap_or_default());
            if name.is_some_and(|name| known.contains(&name)) {
                continue;
            }
            let what = format!("refers to {}, which is no parameter of this", shown(path));
            let help = match known.as_slice() {
                [] => "add it to `params`, as in `params: { text: string }`".to_owned(),
                known => format!("write params.NAME; there are: {}", known.join(", ")),
            };
            errors.push(FieldError::new(&at, what, help).among(name.unwrap_or(path), known.iter().copied()));
        }
    }

    fn work(&self, process: &Process) -> Option<Work> {
        if let Some(run) = &self.run {
            return Some(Work::Command(Arc::new(process.launch(run.command()))));
        }
        let mut launch = process.launch(Command::Own(vec!["call".to_owned()]));
        let orders = match (&self.http, &self.mcp) {
            (Some(http), _) => json!({ "http": http.orders(&mut launch) }),
            (None, Some(mcp)) => json!({ "mcp": mcp.orders(&mut launch) }),
            (None, None) => return None,
        };
        Some(Work::Way(Way { orders, launch: Arc::new(launch) }))
    }
}

impl Http {
    /// Says what is wrong with it; `path` leads to it.
    pub(super) fn check(&self, path: &[&str], errors: &mut Vec<FieldError>) {
        let at = |steps: &[&'static str]| path.iter().copied().chain(steps.iter().copied()).collect::<Vec<&str>>();
        check_url(&at(&["url"]), &self.url, errors);
        check_headers(path, &self.headers, errors);
        for (index, status) in self.expect.iter().enumerate() {
            if !(100..=599).contains(status) {
                let (mut path, index) = (at(&["expect"]), index.to_string());
                path.push(&index);
                errors.push(FieldError::new(&path, "is no status of an answer", "write 100 to 599"));
            }
        }
        let sends = matches!(self.method, Method::Post | Method::Put | Method::Patch | Method::Delete);
        if self.body.is_some() && !sends {
            let help = "write `method: POST`, or remove the body";
            errors.push(FieldError::of_name(&at(&["body"]), "goes with a method that sends one", help));
        }
    }

    /// What it refers to, each with the steps to it.
    pub(super) fn references(&self) -> Vec<(Vec<&str>, &str)> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| references(value, &mut body));
        let body = body.into_iter().map(|path| (vec!["body"], path));
        let headers = self.headers.iter().filter_map(|(name, header)| match header {
            Header::Literal(_) => None,
            Header::From(source) => Some((vec!["headers", name.as_str(), "from"], source.from.as_deref()?)),
        });
        body.chain(headers).collect()
    }

    /// True when what is sent is written down.
    pub(super) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The orders of a call; what comes from elsewhere becomes part of the launch.
    pub(super) fn orders(&self, launch: &mut Launch) -> Json {
        let mut orders = Map::new();
        orders.insert("method".to_owned(), json!(self.method));
        orders.insert("url".to_owned(), json!(self.url));
        add_headers(&self.headers, &mut orders, launch);
        if let Some(body) = &self.body {
            orders.insert("body".to_owned(), body.clone());
        }
        if !self.expect.is_empty() {
            orders.insert("expect".to_owned(), json!(self.expect));
        }
        Json::Object(orders)
    }
}

impl Mcp {
    fn check(&self, errors: &mut Vec<FieldError>) {
        match &self.server {
            Server::Argv(argv) => {
                check_argv(&["mcp", "server"], argv, errors);
                if !self.headers.is_empty() {
                    let help = "remove them; a program is given what it needs by `env`";
                    errors.push(FieldError::of_name(&["mcp", "headers"], "goes with the address of a server", help));
                }
            }
            Server::Url(url) => check_url(&["mcp", "server"], url, errors),
        }
        if self.tool.trim().is_empty() {
            errors.push(FieldError::new(&["mcp", "tool"], "is empty", "write the name of a tool of that server"));
        }
        check_headers(&["mcp"], &self.headers, errors);
    }

    fn orders(&self, launch: &mut Launch) -> Json {
        let mut orders = Map::new();
        orders.insert("server".to_owned(), json!(self.server));
        orders.insert("tool".to_owned(), json!(self.tool));
        add_headers(&self.headers, &mut orders, launch);
        Json::Object(orders)
    }
}

fn check_url(path: &[&str], url: &str, errors: &mut Vec<FieldError>) {
    check_text(path, url, errors);
    let help = "write it whole, as in https://hooks.example.com/deploy";
    let Some((scheme, rest)) = url.split_once("://") else {
        errors.push(FieldError::new(path, "is no address", help));
        return;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || host.is_empty() || url.contains(char::is_whitespace) {
        errors.push(FieldError::new(path, "is no address of the web", help));
    } else if host.contains('@') {
        // What stands there would be shown wherever the spec is.
        let help = "give a password by a header, as in `headers: { Authorization: { fromFile: secrets/basic } }`";
        errors.push(FieldError::new(path, "holds a user or a password", help));
    }
}
