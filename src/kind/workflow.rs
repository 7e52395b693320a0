//! Workflow: steps in an order.
//!
//! In: a spec as JSON. Out: the steps, each after what it needs, for a run of its own and for those that use it.
//! Not here: which step is next (`engine::run`).
//! The surprise: what a step may refer to follows from its needs: the output of a step that might not be over yet is an
//! error here and not at the first run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::command::Run;
use super::params::{self, Written};
use super::process::{Process, canonical, joined, only, read, without, without_defaults};
use super::units::Duration;
use super::when::When;
use super::work::{Retry, Work, check_timeout};
use super::{Effect, FieldError, KindDef, Parsed, Runs, shown};
use crate::engine::name::is_name;
use crate::engine::run::names::{self, What};
use crate::engine::run::scope::references;
use crate::engine::run::{self, Arises, Flow, FlowStep, History, Overlap, Params, Risk, RunRule, expression};

/// The line in [`super::KINDS`].
pub const DEF: KindDef = KindDef {
    kind: "Workflow",
    lower: "workflow",
    plural: "workflows",
    short: &["wf"],
    summary: "Steps that are done in an order, each once those it needs are.",
    parse,
    schema,
    effect,
    paths: &["dir"],
    files: &["envFile", "env.*.fromFile"],
    texts: &["env"],
    later: &[],
};

/// The most steps.
const STEPS_MAX: usize = 100;
/// How many runs of it there are at once, beside those of what uses it.
const AT_ONCE: u32 = 10;

/// What it takes and what is done.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// What it takes: names, each with type, required, default, description, enum, pattern and so on; or a JSON Schema.
    /// Nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": { "type": "string", "required": true } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to what they are"))]
    params: Option<Written>,
    /// What is done. Steps that need nothing begin at once.
    #[schemars(length(min = 1, max = 100), extend("examples" = [[{ "id": "test", "run": "cargo test" }]]))]
    #[schemars(extend("x-rule" = "it takes a list of steps, 1 to 100"))]
    steps: Vec<Step>,
    /// The longest all of it may take; then what is under way is stopped. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
}

/// One step: an id, and exactly one of run, use and prompt.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Step {
    /// Its name within the workflow.
    #[schemars(length(min = 1), extend("examples" = ["test"]))]
    id: String,
    /// What to run. Parameters of the workflow come as JSON on standard input and as SETPOINT_PARAM_NAME. A text is a line
    /// for `/bin/sh -c` (executed directly when it needs no shell); a list is the exact program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
    /// The Capability to use: its name, or capability/NAME. Built in: noop, sidecar_status, sidecar_jobs.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["deploy"]))]
    used: Option<String>,
    /// The parameters of what is used. `{from: params.NAME}` and `{from: steps.ID.output}` stand for what is known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{ "app": { "from": "params.app" } }]))]
    #[schemars(extend("x-rule" = "it maps names of parameters to values"))]
    with: Option<BTreeMap<String, Json>>,
    /// What an agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["Summarise the changes."]))]
    prompt: Option<String>,
    /// The Agent that is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["reviewer"]))]
    agent: Option<String>,
    /// The steps that have to be over before, and well.
    #[serde(default)]
    #[schemars(length(max = 100), extend("examples" = [["test"]]))]
    needs: Vec<String>,
    /// Whether it is done at all: an expression in CEL over `params` and `steps`, or a command that exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    /// What a failure is answered with.
    #[serde(default)]
    retry: Retry,
    /// The longest one attempt may take; then it is stopped. No limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    /// A person has to agree first.
    #[serde(default)]
    ask_first: bool,
}

fn schema() -> Schema {
    use super::schema::{joined, of_spec};
    joined([of_spec::<Spec>(), of_spec::<Process>()])
}

fn effect(field: &str) -> Effect {
    match field {
        "params" | "steps" | "timeout" => Effect::Live,
        _ if Process::FIELDS.contains(&field) => Effect::Live,
        _ => Effect::None,
    }
}

fn parse(value: &Json) -> Result<Parsed, Vec<FieldError>> {
    let process: Process = read(only(value, Process::FIELDS), DEF.lower)?;
    let spec: Spec = read(without(value, Process::FIELDS), DEF.lower)?;
    let mut errors = Vec::new();
    process.check(true, &mut errors);
    check_timeout(&["timeout"], spec.timeout, &mut errors);
    let params = params::rule(spec.params.as_ref()).map_err(|more| errors.extend(more));
    let order = spec.check(&mut errors);
    for (index, step) in spec.steps.iter().enumerate() {
        step.check(index, &mut errors);
        spec.check_references(index, step, params.as_ref().ok(), &mut errors);
        spec.check_when(index, step, params.as_ref().ok(), &mut errors);
    }
    let (Ok(params), true) = (params, errors.is_empty()) else { return Err(errors) };
    let steps = order.iter().filter_map(|index| spec.steps.get(*index)?.rule(&process)).collect();
    let flow = Arc::new(Flow { params: params.clone(), steps, timeout: spec.timeout.map(|timeout| timeout.0) });
    let rule = RunRule {
        work: run::Work::Flow(Arc::clone(&flow)),
        arises: Arises::Asked,
        policy: process.policy(),
        timeout: spec.timeout.map(|timeout| timeout.0),
        retry: run::Retry::NONE,
        overlap: Overlap::Allow(AT_ONCE),
        history: History::DEFAULT,
        params,
        is_resumed: true,
        risk: Risk::default(),
    };
    let written = spec.canonical();
    let revision = joined([written.clone(), process.revised(true)]).to_string();
    let references = spec.steps.iter().enumerate();
    let references =
        references.filter_map(|(index, step)| step.work().reference(&["steps", &index.to_string()])).collect();
    let kind = Runs { rule, revision, needs: Vec::new(), part: super::RunsPart::Workflow(flow) };
    Ok(Parsed { kind: Arc::new(kind), spec: joined([written, process.canonical(true)]), references })
}

impl Spec {
    /// Says what is wrong with ids and needs; gives the steps in an order in which each comes after what it needs.
    fn check(&self, errors: &mut Vec<FieldError>) -> Vec<usize> {
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            let help = "write 1 to 100 steps, as in `steps: [{ id: test, run: cargo test }]`";
            errors.push(FieldError::new(&["steps"], "has no entries, or more than 100", help));
            return Vec::new();
        }
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            let path = ["steps", &index.to_string(), "id"];
            if !is_name(&step.id) {
                let help = "an id starts with a letter or digit and has 1 to 64 letters, digits, `-` or `_`";
                errors.push(FieldError::new(&path, "cannot be an id", help));
            }
            if places.insert(&step.id, index).is_some() {
                errors.push(FieldError::new(&path, "is the id of another step, too", "give each step its own"));
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            for (number, need) in step.needs.iter().enumerate() {
                let path = ["steps", &index.to_string(), "needs", &number.to_string()];
                if !places.contains_key(need.as_str()) {
                    let ids: Vec<&str> = self.steps.iter().map(|step| step.id.as_str()).collect();
                    let what = format!("is {}, and no step is called so", shown(need));
                    errors.push(FieldError::new(&path, what, format!("the steps are {}", ids.join(", "))));
                }
            }
        }
        let order = self.order(&places);
        if let Some(first) = (0..self.steps.len()).find(|index| !order.contains(index)) {
            errors.extend(self.circle(&places, &order, first));
        }
        order
    }

    /// The steps that can be reached, each after what it needs, otherwise as they are written.
    fn order(&self, places: &BTreeMap<&str, usize>) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        while let Some(next) = (0..self.steps.len()).find(|index| {
            let is_done = |need: &String| places.get(need.as_str()).is_none_or(|place| order.contains(place));
            !order.contains(index) && self.steps.get(*index).is_some_and(|step| step.needs.iter().all(is_done))
        }) {
            order.push(next);
        }
        order
    }

    /// The steps that wait for each other; `first` waits for one of them.
    fn circle(&self, places: &BTreeMap<&str, usize>, order: &[usize], first: usize) -> Option<FieldError> {
        let mut way = vec![first];
        loop {
            let step = self.steps.get(*way.last()?)?;
            let mut open = step.needs.iter().filter_map(|need| places.get(need.as_str()));
            let next = *open.find(|place| !order.contains(place))?;
            if let Some(begin) = way.iter().position(|place| *place == next) {
                let ids = way.iter().skip(begin).chain([&next]);
                let ids: Vec<&str> = ids.filter_map(|place| Some(self.steps.get(*place)?.id.as_str())).collect();
                let what = format!("wait for each other: {}", ids.join(" -> "));
                let path = ["steps", &next.to_string(), "needs"];
                return Some(FieldError::of_name(&path, what, "remove one of these needs: none could ever start"));
            }
            way.push(next);
        }
    }

    /// Checks what `{from: …}` stands for.
    fn check_references(&self, index: usize, step: &Step, params: Option<&Params>, errors: &mut Vec<FieldError>) {
        let before = self.before(step);
        for (name, value) in step.with.iter().flatten() {
            let mut found = Vec::new();
            references(value, &mut found);
            for path in found {
                if let Some((what, help)) = self.reference_fault(path, &before, params) {
                    let at = ["steps", &index.to_string(), "with", name];
                    errors.push(FieldError::new(&at, format!("refers to {}, {what}", shown(path)), help));
                }
            }
        }
    }

    /// Checks the expression that says whether a step is done: its grammar, and the names in it.
    fn check_when(&self, index: usize, step: &Step, params: Option<&Params>, errors: &mut Vec<FieldError>) {
        let Some(When::Expression(text)) = &step.when else { return };
        let index = index.to_string();
        let at = ["steps", index.as_str(), "when"];
        let program = match expression::compile(text) {
            Ok(program) => program,
            Err(fault) => {
                let help = "write an expression such as `params.app != 'none'`";
                // What follows lists everything that could have stood there, and repeats the text.
                let said = fault.split(" | ").next().and_then(|said| said.split(" expecting ").next());
                let said = said.unwrap_or_default().rsplit("error: ").next().unwrap_or_default();
                return errors.push(FieldError::new(&at, format!("is no expression: {said}"), help));
            }
        };
        let before = self.before(step);
        let unknown = names::unknown(&program);
        let found = unknown.first().map(|name| (name.column, unknown_name(&at, &name.what))).or_else(|| {
            names::names(&program).into_iter().find_map(|name| {
                let What::Path(path) = &name.what else { return None };
                // All of them together can be asked how many they are.
                let [root, first, ..] = path.as_slice() else { return None };
                let (what, help) = self.reference_fault(&path.join("."), &before, params)?;
                let error = FieldError::new(&at, format!("names {}, {what}", shown(&path.join("."))), help);
                let ids = || self.steps.iter().map(|step| step.id.as_str());
                let is_step = ids().any(|id| id == first);
                let error = match (root.as_str(), params) {
                    ("steps", _) if !is_step => error.among(first, ids()),
                    ("params", Some(params)) => error.among(first, params.names()),
                    (_, _) => error,
                };
                Some((name.column, error))
            })
        });
        errors.extend(found.map(|(column, error)| FieldError { column, ..error }));
    }

    /// The ids of all steps that are over before this one begins.
    fn before(&self, step: &Step) -> BTreeSet<&str> {
        let mut before = BTreeSet::new();
        let mut open: Vec<&Step> = vec![step];
        while let Some(at) = open.pop() {
            let needed = |need: &String| self.steps.iter().find(|step| step.id == *need);
            for step in at.needs.iter().filter_map(needed) {
                if before.insert(step.id.as_str()) {
                    open.push(step);
                }
            }
        }
        before
    }

    fn reference_fault(
        &self,
        path: &str,
        before: &BTreeSet<&str>,
        params: Option<&Params>,
    ) -> Option<(&'static str, String)> {
        let mut words = path.split('.');
        match (words.next().unwrap_or_default(), words.next()) {
            ("params" | "__params__", None) => None,
            ("params" | "__params__", Some(name)) => {
                // What is wrong with the parameters themselves is said elsewhere.
                let names = params.map(Params::names)?;
                let known = if names.is_empty() { "the workflow has none".to_owned() } else { names.join(", ") };
                let is_known = names.contains(&name);
                (!is_known).then(|| ("which is no parameter of the workflow", format!("there are: {known}")))
            }
            ("steps", Some(id)) if before.contains(id) => match words.next() {
                Some("output" | "outcome") | None => None,
                Some(_) => Some((
                    "which a step does not have",
                    format!("write steps.{id}.output, steps.{id}.output.NAME or steps.{id}.outcome"),
                )),
            },
            ("steps", Some(id)) if self.steps.iter().any(|step| step.id == id) => {
                Some(("which might not be over by then", format!("add it: needs: [{id}]")))
            }
            ("steps", _) => Some(("which is no step", "write steps.ID.output, of a step this one needs".to_owned())),
            _ => Some(("which is nothing here", "write params.NAME or steps.ID.output".to_owned())),
        }
    }

    fn canonical(&self) -> Json {
        let mut written = canonical(self, &Spec { params: Some(Written::new()), ..Spec::default() });
        let default = serde_json::to_value(Step::default()).unwrap_or_default();
        if let Some(Json::Array(steps)) = written.get_mut("steps") {
            for step in steps.iter_mut() {
                let id = step.get("id").cloned();
                *step = without_defaults(step.take(), &default);
                if let (Some(id), Some(fields)) = (id, step.as_object_mut()) {
                    fields.insert("id".to_owned(), id);
                }
            }
        }
        written
    }
}

/// What an expression names that is neither known of a run nor part of the language.
fn unknown_name(at: &[&str], what: &What) -> FieldError {
    match what {
        What::Function(name) => {
            let help = "an expression can compare, and use size, contains, startsWith, endsWith, matches, all, exists";
            let error = FieldError::new(at, format!("calls {}, and there is no such function", shown(name)), help);
            error.among(name, names::FUNCTIONS.iter().copied())
        }
        What::Path(path) => {
            let root = path.first().map_or("", String::as_str);
            let help = "an expression can name params.NAME, steps.ID.output and steps.ID.outcome";
            let error = FieldError::new(at, format!("names {}, which is nothing here", shown(root)), help);
            error.among(root, ["params", "steps"])
        }
    }
}

impl Step {
    fn work(&self) -> Work {
        let (run, used, with) = (self.run.clone(), self.used.clone(), self.with.clone());
        Work { run, used, with, prompt: self.prompt.clone(), agent: self.agent.clone() }
    }

    fn check(&self, index: usize, errors: &mut Vec<FieldError>) {
        let index = index.to_string();
        let path = ["steps", index.as_str()];
        let at = |field: &'static str| ["steps", index.as_str(), field];
        self.work().check(&path, errors);
        self.retry.check(&at("retry"), errors);
        check_timeout(&at("timeout"), self.timeout, errors);
        if self.used.as_ref().is_some_and(|used| used.trim_start_matches('/').starts_with("workflow/")) {
            let help = "use a Capability, or write its steps here";
            errors.push(FieldError::new(&at("use"), "is a Workflow, which cannot be a step of another", help));
        }
        // An expression is checked with what the step may name.
        if let Some(when @ When::Command(_)) = &self.when {
            when.check(&at("when"), "", errors);
        }
    }

    fn rule(&self, process: &Process) -> Option<FlowStep> {
        Some(FlowStep {
            id: Arc::from(self.id.as_str()),
            work: self.work().rule(process)?,
            needs: self.needs.iter().map(|need| Arc::from(need.as_str())).collect(),
            when: self.when.as_ref().map(|when| when.rule(process)),
            retry: self.retry.rule(),
            timeout: self.timeout.map(|timeout| timeout.0),
            asks_first: self.ask_first,
        })
    }
}
