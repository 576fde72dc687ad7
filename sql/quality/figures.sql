-- Purpose: the figures of a round's batches, beside what is usual.
-- Grain: table, stage, arena, subject, measure.
-- Inputs: measures.
-- Parameters: $round.
-- Method: of several audits of a batch the last counts. deviation: spreads from the usual value; null where nothing is known yet.
-- Source: none; bookkeeping.
with newest as (
    select *
    from measures
    where round = $round
    qualify audit_id = max_by(audit_id, created_at) over (partition by "table", stage, arena)
)

select
    "table",
    stage,
    arena,
    subject,
    measure,
    value,
    usual,
    (value - usual) / spread as deviation
from newest
order by "table", stage, arena, subject, measure;
