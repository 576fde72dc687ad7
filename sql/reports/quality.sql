-- Purpose: how the audits of a round came out.
-- Grain: table, severity.
-- Inputs: quality_results.
-- Parameters: $round.
-- Method: every attempt counts, also those that a gate stopped. Tables without rounds (raw_instructions, instructions)
--   are counted over all of their audits.
with round_results as (
    select *
    from quality_results
    where round = $round or round is null
)

select
    "table",
    severity,
    count(*) filter (where outcome = 'pass') as passed,
    count(*) filter (where outcome = 'fail') as failed,
    count(*) filter (where outcome = 'broken') as broken
from round_results
group by all
order by "table", severity;
