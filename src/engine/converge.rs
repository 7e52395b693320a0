//! stub
use super::*;
/// stub
pub struct Facts<'a> {
    pub desired: &'a Desired,
    pub observed: &'a Observed,
    pub backoff: &'a Backoff,
    pub now: &'a Now,
    pub mutant: Mutant,
}
/// stub
pub fn converge(f: &Facts<'_>) -> Plan {
    Plan { generation: f.desired.generation, decisions: vec![], wake_at: None }
}
