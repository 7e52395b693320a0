//! How the database finds what a queue needs: by an index, and never by looking at all that waits.

use setpoint::store::Write;

use crate::portable::statements;
use crate::world::{World, done};

/// What is asked for each message, or each look of the controller.
const OFTEN: &[&str] = &[
    "INSERT_MESSAGE",
    "MESSAGE",
    "DIGEST",
    "MESSAGE_OF_DEDUP",
    "GROW_QUEUE",
    "SHRINK_QUEUE",
    "RECENT_MESSAGES",
    "GROUP_HEAD",
    "CLAIMED_OF_GROUP",
    "MOVE_MESSAGE",
    "PROMOTE_MESSAGES",
    "READY_MESSAGES",
    "CLAIM_MESSAGE",
    "COUNT_FROM",
    "RUN_AGAIN",
    "RETURN_MESSAGE",
    "RETURN_RUN",
    "END_MESSAGE",
    "WITHDRAW_MESSAGE",
    "WITHDRAW_RUN",
    "REVIVE_MESSAGE",
    "DROP_MESSAGE",
    "MESSAGE_IS_THERE",
    "CLAIMED_MESSAGES",
    "QUEUE",
    "QUEUES",
    "COUNT_MESSAGES",
    "PRUNE_MESSAGES",
    "FIRST_EXCESS",
    "OLD_RUNS",
];

#[test]
fn no_statement_of_a_queue_looks_at_all_messages_or_sorts_them() {
    let world = World::new();
    done(&world.writer(), Write::Open);
    let raw = world.raw();
    let all = statements();
    for name in OFTEN {
        let (_, sql) = all.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("{name}"));
        let mut statement = raw.prepare(&format!("explain query plan {sql}")).unwrap();
        let places = vec![rusqlite::types::Value::Integer(1); statement.parameter_count()];
        let rows =
            statement.query_map(rusqlite::params_from_iter(places), |row| row.get::<_, String>("detail")).unwrap();
        let plan: Vec<String> = rows.map(|row| row.unwrap()).collect();
        // The table of queues is as short as the list of objects, and an index of the claimed as what is at work.
        let is_short = |line: &str| {
            line.starts_with("SCAN queues") || line == "SCAN recent" || line.contains("INDEX messages_claimed")
        };
        let is_long = |line: &&String| (line.starts_with("SCAN") && !is_short(line)) || line.contains("AUTOMATIC");
        let found: Vec<&String> = plan.iter().filter(is_long).collect();
        assert!(found.is_empty(), "{name}: {plan:?}");
        let is_sorted = plan.iter().any(|line| line.contains("TEMP B-TREE"));
        assert!(!is_sorted || matches!(*name, "CLAIMED_MESSAGES" | "QUEUES"), "{name}: {plan:?}");
    }
}
