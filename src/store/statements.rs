//! The statements, in the SQL that larger databases speak too.
//!
//! In: nothing. Out: text. Not here: dialect, which stands in `schema` and in the names of transactions.
//! The surprise: parameters are numbered `$1`, `$2`, … in the order in which they first occur, since one engine counts
//! by number and the other by occurrence.

pub(super) const INSERT_RUN: &str = "
insert into runs (object, cause, uid, parent, origin, asked_by, nominal_ms, due_ms, created_ms, started_ms, ended_ms,
    state, outcome, reason, attempts, base_attempts, cancelled_by, reopened_by, params, result, result_size, exit_code,
    exit_signal, generation, catches_up)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
    $25)
on conflict (object, cause) do nothing";

pub(super) const FINISH_RUN: &str = "
update runs set state = 'final', outcome = $1, reason = $2, started_ms = coalesce($3, started_ms), ended_ms = $4,
    attempts = $5, result = $6, result_size = $7, exit_code = $8, exit_signal = $9
where object = $10 and cause = $11 and state = 'open'";

/// A message that went back into its queue meanwhile is withdrawn from there.
pub(super) const CANCEL_RUN: &str = "
update runs set cancelled_by = $1 where object = $2 and cause = $3 and state = 'open' and cancelled_by is null
and (origin <> 'message' or exists (
    select 1 from messages where messages.object = $2 and messages.id = $3 and messages.state = 'claimed'))";

pub(super) const REOPEN_RUN: &str = "
update runs set state = 'open', outcome = null, reason = null, started_ms = null, ended_ms = null, result = null,
    result_size = null, exit_code = null, exit_signal = null, cancelled_by = null, reopened_by = $1, base_attempts = attempts,
    due_ms = $2
where object = $3 and cause = $4 and state = 'final'";

/// The steps below a run, but those that ended with the word `$3`.
pub(super) const REOPEN_STEPS: &str = "
update runs set state = 'open', outcome = null, reason = null, started_ms = null, ended_ms = null, result = null,
    result_size = null, exit_code = null, exit_signal = null, cancelled_by = null, reopened_by = coalesce($1, reopened_by),
    base_attempts = attempts
where object = $2 and state = 'final' and outcome <> $3 and cause in (
    with recursive below (step) as (
        select cause from runs where object = $2 and parent = $4
        union
        select runs.cause from runs join below on runs.parent = below.step where runs.object = $2
    )
    select step from below)";

pub(super) const RUN: &str = "select * from runs where object = $1 and cause = $2";

/// The first attempt since the run was made or reopened says when it began.
pub(super) const TRY_RUN: &str = "
update runs set attempts = case when attempts < $1 then $1 else attempts end, started_ms = coalesce(started_ms, $2)
where object = $3 and cause = $4 and state = 'open'";

pub(super) const UPSERT_ATTEMPT: &str = "
insert into attempts (object, cause, number, started_ms, ended_ms, exit) values ($1, $2, $3, $4, $5, $6)
on conflict (object, cause, number) do update set started_ms = coalesce(excluded.started_ms, attempts.started_ms),
    ended_ms = coalesce(excluded.ended_ms, attempts.ended_ms), exit = coalesce(excluded.exit, attempts.exit)";

/// What was decided about a due time stands; only a decision to wait is followed by another.
pub(super) const UPSERT_TICK: &str = "
insert into ticks (object, nominal_ms, uid, to_ms, count, state, reason, at_ms, cause)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (object, nominal_ms) do update set uid = excluded.uid, to_ms = excluded.to_ms, count = excluded.count,
    state = excluded.state, reason = excluded.reason, at_ms = excluded.at_ms, cause = excluded.cause
where ticks.state in ('Deferred', 'Held')";

pub(super) const TICK: &str = "select * from ticks where object = $1 and nominal_ms = $2";

pub(super) const UPSERT_CURSOR: &str = "
insert into cursors (object, uid, key, since_ms, at_ms, set_wall_ns, set_boot_ns, boot_id)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (object) do update set uid = excluded.uid, key = excluded.key, since_ms = excluded.since_ms,
    at_ms = excluded.at_ms, set_wall_ns = excluded.set_wall_ns, set_boot_ns = excluded.set_boot_ns,
    boot_id = excluded.boot_id";

pub(super) const INSERT_EVENT: &str =
    "insert into events (time, type, subject, text, data) values ($1, $2, $3, $4, $5)";

pub(super) const LAST_EVENT: &str = "select coalesce(max(id), 0) from events";

/// Numbers grow by one, so the number of events and their span are the same.
pub(super) const PRUNE_EVENTS: &str = "
delete from events where id in (select id from events where id <= $1 order by id limit $2)";

/// The next object after one, whatever it has.
pub(super) const NEXT_OBJECT: &str = "
select min(object) from (
    select min(object) as object from runs where object > $1
    union all select min(object) from ticks where object > $1
    union all select min(object) from messages where object > $1) as firsts";

/// All but `$2` of the due times of an object, and those before `$3`; `$4` of them are kept in any case.
pub(super) const PRUNE_TICKS: &str = "
delete from ticks where object = $1 and nominal_ms in (
    select nominal_ms from (
        select nominal_ms, at_ms, row_number() over (order by nominal_ms desc) as rank from ticks where object = $1
    ) as ranked
    where (rank > $2 or at_ms < $3) and rank > $4 order by nominal_ms limit $5)";

/// The newest run of those that are one too many.
pub(super) const FIRST_EXCESS: &str = "
select created_ms, cause from runs where object = $1 and parent is null and state = 'final'
order by created_ms desc, cause desc limit 1 offset $2";

/// Runs that are over, up to one or so old, oldest first, but for the last of its origin unless `$5` is 0. Those with steps
/// that are open stay, and those of dead letters, whose attempts a person wants to see.
pub(super) const OLD_RUNS: &str = "
select cause from runs as old where object = $1 and parent is null and state = 'final'
and ((created_ms, cause) <= ($2, $3) or ended_ms < $4)
and ($5 = 0 or exists (
    select 1 from runs as newer where newer.object = $1 and newer.parent is null and newer.state = 'final'
    and newer.origin = old.origin and (newer.created_ms, newer.cause) > (old.created_ms, old.cause)))
and not exists (
    select 1 from runs as step where step.object = $1 and step.parent = old.cause and step.state = 'open')
and not exists (
    select 1 from messages where messages.object = $1 and messages.id = old.cause and messages.state = 'dead')
order by created_ms, cause limit $6";

/// Steps whose run is gone.
pub(super) const ORPHANS: &str = "
select cause from runs as step where object = $1 and parent is not null and state = 'final' and not exists (
    select 1 from runs as whole where whole.object = $1 and whole.cause = step.parent) limit $2";

pub(super) const DELETE_RUN: &str = "delete from runs where object = $1 and cause = $2";

pub(super) const OLD_CURSORS: &str = "select object from cursors where at_ms < $1";

pub(super) const PRUNE_CURSOR: &str = "delete from cursors where object = $1 and at_ms < $2";

/// A message that waits to be tried again has an open run, which nobody works on.
pub(super) const OPEN_RUNS: &str = "
select * from runs where state = 'open' and (origin <> 'message' or exists (
    select 1 from messages
    where messages.object = runs.object and messages.id = runs.cause and messages.state = 'claimed'))
order by created_ms, object, cause";

/// The same of a store from before there were messages.
pub(super) const OPEN_RUNS_1: &str = "select * from runs where state = 'open' order by created_ms, object, cause";

pub(super) const CURSORS: &str = "select * from cursors order by object";

pub(super) const LAST_FINALS: &str = "
select * from runs where state = 'final' and parent is null and (object, cause) in (
    select object, cause from (
        select object, cause, row_number() over (partition by object, origin order by generation desc, created_ms desc, cause desc)
            as rank
        from runs where state = 'final' and parent is null
    ) as ranked where rank = 1)
order by object, created_ms, cause";

pub(super) const STEPS: &str = "
select * from runs where object = $1 and parent = $2 order by created_ms, cause limit $3";

pub(super) const ATTEMPTS: &str = "
select * from attempts where object = $1 and cause = $2 order by number limit $3";

pub(super) const INSERT_MESSAGE: &str = "
insert into messages (object, id, state, priority, grp, dedup, type, subject, sender, source, digest, bytes, enqueued_ms,
    due_ms, expires_ms, tries, base_attempts, fence, params, payload)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, 0, 0, $16, $17)
on conflict do nothing returning seq";

pub(super) const MESSAGE: &str = "select * from messages where object = $1 and id = $2";

pub(super) const DIGEST: &str = "select digest from messages where object = $1 and id = $2";

pub(super) const MESSAGE_OF_DEDUP: &str = "
select * from messages where object = $1 and dedup = $2 and ended_ms is null";

pub(super) const GROW_QUEUE: &str = "
insert into queues (object, depth, bytes) values ($1, 1, $2)
on conflict (object) do update set depth = queues.depth + 1, bytes = queues.bytes + excluded.bytes
returning depth, bytes";

pub(super) const SHRINK_QUEUE: &str = "update queues set depth = depth - 1, bytes = bytes - $1 where object = $2";

/// So many came since, as far as a limit of them.
pub(super) const RECENT_MESSAGES: &str = "
select count(*) from (select 1 from messages where object = $1 and enqueued_ms > $2 limit $3) as recent";

pub(super) const GROUP_HEAD: &str = "
select seq, state, due_ms from messages where object = $1 and grp = $2 and ended_ms is null order by seq limit 1";

pub(super) const CLAIMED_OF_GROUP: &str = "
select count(*) from messages where object = $1 and grp = $2 and state = 'claimed'";

pub(super) const MOVE_MESSAGE: &str = "update messages set state = $1 where seq = $2";

pub(super) const PROMOTE_MESSAGES: &str = "
update messages set state = 'available' where seq in (
    select seq from messages where object = $1 and state = 'scheduled' and due_ms <= $2 order by due_ms, seq limit $3)";

pub(super) const READY_MESSAGES: &str = "
select seq, enqueued_ms from messages where object = $1 and state = 'available' and priority = $2 order by seq limit $3";

pub(super) const CLAIM_MESSAGE: &str = "
update messages set state = 'claimed', fence = fence + 1, claimed_ms = $1 where seq = $2 returning *";

/// The attempts of the run go on where an earlier message of this name left them.
pub(super) const COUNT_FROM: &str = "update messages set base_attempts = $1 where seq = $2";

/// A run of a message that is tried again.
pub(super) const RUN_AGAIN: &str = "
update runs set uid = $1, due_ms = $2, created_ms = $3, params = $4, base_attempts = attempts
where object = $5 and cause = $6 and state = 'open'";

pub(super) const RETURN_MESSAGE: &str = "
update messages set state = 'scheduled', claimed_ms = null, due_ms = $1, tries = $2, base_attempts = $3, reason = $4
where object = $5 and id = $6 and state = 'claimed' and fence = $7 returning seq, grp";

pub(super) const RETURN_RUN: &str = "
update runs set attempts = $1, base_attempts = $1, due_ms = $2, reason = $3, started_ms = coalesce(started_ms, $4),
    exit_code = $5, exit_signal = $6
where object = $7 and cause = $8 and state = 'open'";

pub(super) const END_MESSAGE: &str = "
update messages set state = $1, tries = $2, base_attempts = $3, outcome = $4, reason = $5, reply = $6, log_tail = $7,
    ended_ms = $8
where object = $9 and id = $10 and state = 'claimed' and fence = $11 returning grp, bytes";

pub(super) const WITHDRAW_MESSAGE: &str = "
update messages set state = 'cancelled', outcome = 'cancelled', reason = $1, ended_ms = $2
where object = $3 and id = $4 and state in ('scheduled', 'available', 'behind') returning grp, bytes";

pub(super) const WITHDRAW_RUN: &str = "
update runs set state = 'final', outcome = 'cancelled', reason = $1, ended_ms = $2, cancelled_by = $3
where object = $4 and cause = $5 and state = 'open'";

pub(super) const REVIVE_MESSAGE: &str = "
update messages set state = $1, tries = 0, due_ms = $2, expires_ms = $2 + (expires_ms - enqueued_ms), claimed_ms = null,
    ended_ms = null, outcome = null, reason = null, reply = null, log_tail = null
where object = $3 and id = $4 and state = 'dead'";

pub(super) const DROP_MESSAGE: &str = "delete from messages where object = $1 and id = $2 and state = 'dead'";

pub(super) const MESSAGE_IS_THERE: &str = "select count(*) from messages where object = $1 and id = $2";

pub(super) const CLAIMED_MESSAGES: &str = "select * from messages where state = 'claimed' order by object, seq";

pub(super) const QUEUES: &str = "
select object, depth, bytes,
    exists (select 1 from messages where messages.object = queues.object and state = 'available') as has_available,
    (select min(due_ms) from messages where messages.object = queues.object and state = 'scheduled') as next_due
from queues where depth > 0 order by object";

pub(super) const QUEUE: &str = "
select object, depth, bytes,
    exists (select 1 from messages where messages.object = $1 and state = 'available') as has_available,
    (select min(due_ms) from messages where messages.object = $1 and state = 'scheduled') as next_due
from queues where object = $1";

/// All but the payload.
pub(super) const MESSAGE_HEADS: &str = "
select seq, object, id, state, priority, grp, dedup, type, subject, sender, source, enqueued_ms, due_ms, expires_ms, tries,
    base_attempts, fence, claimed_ms, ended_ms, outcome, reason, reply, log_tail, params, null as payload
from messages";

pub(super) const COUNT_MESSAGES: &str = "
select count(*) from messages where state = $1 and ended_ms is not null";

pub(super) const PRUNE_MESSAGES: &str = "
delete from messages where seq in (
    select seq from messages where state = $1 and ended_ms < $2 order by ended_ms, seq limit $3)";
