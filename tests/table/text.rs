//! A plan as the text a table expects.

use std::fmt::Write;

use setpoint::engine::plan::{Command, Policy, Spawn};
use setpoint::engine::{Action, BootTime, Decision, Plan, Reason};

/// One line per decision, and when to look again.
pub fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for decision in &plan.decisions {
        let Decision { id, action, because } = decision;
        let verb = action.as_ref().map_or_else(|| "wait".to_owned(), verb);
        let name = id.object.name();
        let until = until(because).map(|at| format!(", at {}", seconds(at))).unwrap_or_default();
        let _ = writeln!(text, "{verb} {name}-{}: {because}{until} [{}]", id.cause, decision.state());
    }
    if let Some(at) = plan.wake_at {
        let _ = writeln!(text, "look again at {}", seconds(at));
    }
    text
}

fn verb(action: &Action) -> String {
    match action {
        Action::Spawn(spawn) => {
            let Spawn { attempt, uid, revision, streak, launch, policy } = &**spawn;
            let uid = if &**uid == "u1" { String::new() } else { format!(" of {uid}") };
            let mut text = format!("spawn #{attempt}{uid} {revision}");
            if streak.n + streak.deaths + streak.crashes > 0 {
                let _ = write!(text, " n {} deaths {} crashes {}", streak.n, streak.deaths, streak.crashes);
            }
            text += if streak.proven { " proven" } else { "" };
            match &launch.command {
                Command::Argv(argv) if argv.len() > 1 => text + &format!(" {argv:?}") + &with(policy),
                Command::Argv(_) | Command::Line(_) | Command::Own(_) => text + &with(policy),
            }
        }
        Action::Stop { shim, policy, failing } => {
            let verb = if failing.is_some() { "stop failing shim" } else { "stop shim" };
            format!("{verb} {}{}", shim.pid, with(policy))
        }
        Action::Adopt { proc, revision } => format!("adopt {} rev {}", proc.pid, revision.hash),
        Action::EndTree { tree, signal } => {
            let pids: Vec<String> = tree.iter().map(|member| member.proc.pid.to_string()).collect();
            format!("signal {signal} to {} of", pids.join(" "))
        }
        Action::RecordLost { attempt } => format!("record loss of #{attempt} of"),
        Action::Fire(_) => "fire".to_owned(),
        Action::Note(_) => "note".to_owned(),
        Action::Finish(_) => "finish".to_owned(),
        Action::Claim(_) => "claim".to_owned(),
        Action::Return(_) => "give back".to_owned(),
        Action::SetPolicy { shim, policy } => format!("tell shim {} of `{}` about", shim.pid, policy.stop),
    }
}

fn with(policy: &Policy) -> String {
    if policy.stop == Policy::DEFAULT.stop { String::new() } else { format!(" with {},", policy.stop) }
}

fn until(because: &Reason) -> Option<BootTime> {
    match because {
        Reason::NotReadyYet { at } => Some(*at),
        Reason::BackingOff { until, .. } | Reason::Refused { until, .. } | Reason::ItemGone { until } => Some(*until),
        _ => None,
    }
}

fn seconds(at: BootTime) -> String {
    let millis = at.nanos() / 1_000_000;
    if millis.is_multiple_of(1000) {
        format!("{}", millis / 1000)
    } else {
        format!("{}.{:03}", millis / 1000, millis % 1000)
    }
}
