-- Purpose: how the audits of every round came out.
-- Grain: round, severity.
-- Inputs: quality_results.
-- Parameters: $round (the last round that counts).
-- Method: every attempt counts, also those that a gate stopped; tables without rounds are left out. pass_rate is over all outcomes.
with outcomes as (
    select
        round,
        severity,
        count(*) filter (where outcome = 'pass') as passed,
        count(*) filter (where outcome = 'fail') as failed,
        count(*) filter (where outcome = 'broken') as broken
    from quality_results
    where round <= $round
    group by all
)

select
    round,
    severity,
    passed,
    failed,
    broken,
    passed / (passed + failed + broken) as pass_rate
from outcomes
order by round, list_position(['critical', 'warning', 'info'], severity);
