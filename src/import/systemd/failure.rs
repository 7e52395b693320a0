//! What is started when a unit fails.
//!
//! In: which units name which by `OnFailure=`. Out: a unit that they name, as a Trigger on their failure. Not here: paths
//! (`path`). The surprise: it is done once all files are read, since only then it is known what each unit became.

use std::collections::BTreeMap;

use serde_json::json;

use crate::import::{Draft, Imported};
use crate::kind::{job, service, trigger};

/// By the stem of a unit that is named, the names of the objects whose failure it answers.
pub type Failures = BTreeMap<String, Vec<String>>;

/// The field that a report says `OnFailure=` went to.
#[must_use]
pub fn field(stem: &str) -> String {
    format!("trigger of {stem}")
}

/// Makes what ends by itself a Trigger: systemd neither ends it nor tries it again.
pub fn react(draft: &mut Draft) {
    draft.kind = &trigger::DEF;
    draft.set("timeout", json!("365d"));
    draft.set("retry.times", json!(0));
}

/// Makes Triggers of units that others name.
pub fn import(done: &mut Imported, failures: &Failures, units: &BTreeMap<String, String>) {
    for (stem, failing) in failures {
        let mut refuse = |name: &str, why: &str| done.report.refuse(name, &field(stem), why);
        let place = units.get(stem).and_then(|name| {
            done.drafts.iter().position(|draft| draft.name == *name && draft.kind.lower == job::DEF.lower)
        });
        let Some(place) = place else {
            let why = "what it names is no unit that ends by itself, or is started by something else";
            failing.iter().for_each(|name| refuse(name, why));
            continue;
        };
        let (mut types, mut objects) = (Vec::new(), Vec::new());
        for name in failing {
            let Some(draft) = done.drafts.iter().find(|draft| draft.name == *name) else { continue };
            if draft.kind.lower == service::DEF.lower && draft.get("restart") == Some(&json!("never")) {
                refuse(name, "an end of a service that is not started again is no failure here: `Restart=on-failure`");
                continue;
            }
            let word = if draft.kind.lower == service::DEF.lower { "gave-up" } else { "failed" };
            types.push(format!("{}.{word}", draft.kind.lower));
            objects.push(format!("event.object == '{}/{name}'", draft.kind.lower));
        }
        types.sort();
        types.dedup();
        let Some(draft) = done.drafts.get_mut(place).filter(|_| !objects.is_empty()) else { continue };
        react(draft);
        draft.set("event", if let [one] = types.as_slice() { json!(one) } else { json!(types) });
        draft.set("when", json!(objects.join(" || ")));
        done.report.is_of(&draft.name, trigger::DEF.lower);
        for field in draft.take_foreign() {
            done.report.refuse(&draft.name, &field, &format!("a Trigger has no `{field}`"));
        }
    }
}
