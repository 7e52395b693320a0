//! Tables of the engine: facts in, plan text out.
//!
//! In: facts in the little language of `tests/table/facts.rs`. Out: the plan as people would tell it. Each name is the
//! sentence it proves; each plan is also audited, and made twice from facts that were learned in another order.
//! Not here: long histories under faults (`tests/sim.rs`), performance (`benches/`).
//! The surprise: delays are a little longer than the rule says, by 0 to 10 % drawn from the name; the same in every
//! release, so they stand in the goldens.

mod table {
    pub mod adopted;
    pub mod beside;
    pub mod crashes;
    pub mod edits;
    pub mod facts;
    pub mod fleet;
    pub mod gaps;
    pub mod health;
    pub mod items;
    pub mod needs;
    pub mod order;
    pub mod reverse;
    pub mod rolls;
    pub mod starts;
    pub mod stops;
    pub mod text;
    pub mod words;
}

use expect_test::Expect;
use setpoint::engine::audit::audit;
use setpoint::engine::reconcile;
use table::facts::Table;

/// Reads facts, and compares the plan made of them.
fn check(facts: &str, plan: Expect) {
    let table = Table::parse(facts);
    let Table { desired, observed, backoff, now } = &table;
    let made = reconcile(desired, observed, backoff, now);
    plan.assert_eq(&table::text::text(&made));
    assert_eq!(audit(&made, &table.facts()), [], "the audit finds nothing");
    let backwards: String = facts.lines().rev().flat_map(|line| [line, "\n"]).collect();
    let other = Table::parse(&backwards);
    assert_eq!(made, reconcile(&other.desired, &other.observed, &other.backoff, &other.now), "in another order");
}
