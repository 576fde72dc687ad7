-- Purpose: every expectation of a round that failed or could not be checked.
-- Grain: audit_id, expectation.
-- Inputs: quality_results.
-- Parameters: $round.
-- Method: as in reports/quality; the worst severity first, in it the oldest first.
with round_problems as (
    select *
    from quality_results
    where (round = $round or round is null) and outcome <> 'pass'
)

select
    audit_id,
    "table",
    stage,
    arena,
    expectation,
    severity,
    outcome,
    observed,
    "limit",
    failed_rows,
    rows,
    owner,
    runbook,
    decision_id
from round_problems
order by list_position(['critical', 'warning', 'info'], severity), created_at, audit_id, expectation;
