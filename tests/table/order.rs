//! The order in which facts were learned is nobody's business.

use proptest::prelude::*;
use setpoint::engine::reconcile;

use super::facts::Table;

/// Facts about some objects, one line each.
const LINES: &[&str] = &[
    "want web replicas 3 rev B",
    "want db restart never",
    "want idle replicas 0",
    "deleted old",
    "sees web-0 running",
    "sees web-1 running #2 rev B",
    "sees web-2 lingering tree 7 tree 8",
    "sees old-0 running",
    "sees stray-0 running",
    "sees idle-0 frozen",
    "record web-0 #1 open",
    "record web-1 #2 rev B open",
    "record db-0 #4 exit 1 at 5",
    "want api probed lively needs db:done needs web",
    "sees api-0 running",
    "ready api-0 #1 fail asked 5",
    "live api-0 #1 fail asked 6",
    "want jobs each adopts",
    "items jobs a b gone c 9",
    "sees jobs-c running",
    "twin jobs-a one 55",
    "deleted older needs old",
    "sees older-0 running",
    "now 10",
];

proptest! {
    #[test]
    fn equal_facts_in_any_order_give_equal_plans(lines in Just(LINES.to_vec()).prop_shuffle()) {
        let (one, other) = (Table::parse(&LINES.join("\n")), Table::parse(&lines.join("\n")));
        let plan = |t: &Table| format!("{:?}", reconcile(&t.desired, &t.observed, &t.backoff, &t.now));
        prop_assert_eq!(plan(&one), plan(&other));
    }
}
