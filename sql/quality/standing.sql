-- Purpose: what is wrong now: every expectation that did not pass in the newest audit of its batch.
-- Grain: batch, expectation.
-- Inputs: quality_results, decisions.
-- Parameters: $round (null: all batches), $ingested (batches without a round that count for every round), $now.
-- Method: a batch that was audited again, or published by a decision, leaves its earlier audits behind. stops: nothing of the
--   batch was published. muted: a person asked for no alerts until a time that has not come.
-- Source: none; bookkeeping.
with newest as (
    select *
    from quality_results
    where
        batch is not null
        and ($round::varchar is null or round = $round or (round is null and list_contains($ingested::varchar[], batch)))
    qualify audit_id = max_by(audit_id, created_at) over (partition by batch)
),

mutes as (
    select distinct
        "table",
        expectation
    from decisions
    where kind = 'mute' and expires_at > $now::timestamptz
)

select
    batch,
    "table",
    round,
    stage,
    arena,
    expectation,
    severity,
    outcome,
    observed,
    "limit",
    failed_rows,
    rows,
    samples,
    owner,
    runbook,
    decision_id,
    severity = 'critical' and decision_id is null as stops,
    exists (
        select 1
        from mutes
        where mutes."table" = newest."table" and coalesce(mutes.expectation = newest.expectation, true)
    ) as muted,
    created_at
from newest
where outcome <> 'pass'
order by list_position(['critical', 'warning', 'info'], severity), round, stage, batch, expectation;
