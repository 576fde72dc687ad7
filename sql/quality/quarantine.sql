-- Purpose: the rows that gates held back or filters removed, and which of them were released.
-- Grain: row_id, a hash of table, key and expectation.
-- Inputs: quarantine.
-- Parameters: $table, $round, $rule, $state (held, removed or released); null for all.
-- Method: a release is a further row of the quarantine, so a row is released if it is there in that state. decided: who
--   released it and why.
-- Source: none; bookkeeping.
with entries as (
    select
        left(sha256(concat_ws(chr(31), "table", key, expectation)), 12) as row_id,
        *
    from quarantine
),

held as (
    select * from entries where state <> 'released'
),

released as (
    select
        row_id,
        reason as decided
    from entries
    where state = 'released'
),

known as (
    select
        held.* exclude (state),
        if(released.row_id is null, held.state, 'released') as state,
        released.decided
    from held
    left join released on released.row_id = held.row_id
)

select
    row_id,
    "table",
    round,
    expectation,
    key,
    reason,
    state,
    decided,
    "row",
    created_at
from known
where
    coalesce("table" = $table, $table is null)
    and coalesce(round = $round, $round is null)
    and coalesce(expectation = $rule, $rule is null)
    and coalesce(state = $state, $state is null)
order by created_at desc, "table", key, expectation;
