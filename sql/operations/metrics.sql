-- Purpose: what every batch of a round took: rows, seconds, tokens, money.
-- Grain: batch (a table and its partition), by its newest audit.
-- Inputs: quality_results, responses, verdicts.
-- Parameters: none; made the view `metrics` for readers.
-- Method: seconds are in the outcome `effort`, which every audit records: `work_s` of all units of the step, added up (they may
--   have run side by side), and `audit_s` from the first staged row that was read to the last one before the commit. Tokens
--   and money (US dollars) are those of the batch's answers or verdicts; null for tables that call no model.
-- Source: none; bookkeeping.
with audits as (
    select
        batch,
        "table",
        round,
        stage,
        arena,
        rows,
        observed,
        created_at
    from quality_results
    where expectation = 'effort'
    qualify row_number() over (partition by batch order by created_at desc, audit_id desc) = 1
),

calls as (
    select
        'responses' as "table",
        round,
        stage,
        arena,
        tokens_in,
        tokens_out,
        cost_usd
    from responses
    union all
    select
        'verdicts' as "table",
        round,
        stage,
        arena,
        tokens_in,
        tokens_out,
        cost_usd
    from verdicts
),

spent as (
    select
        "table",
        round,
        stage,
        arena,
        sum(tokens_in)::bigint as tokens_in,
        sum(tokens_out)::bigint as tokens_out,
        -- Rounded, because the order of the rows decides the last digits of a sum.
        round(sum(cost_usd), 9) as cost_usd
    from calls
    group by all
)

select
    audits.batch,
    audits."table",
    audits.round,
    audits.stage,
    audits.arena,
    audits.rows,
    (audits.observed ->> 'work_s')::double as work_s,
    (audits.observed ->> 'audit_s')::double as audit_s,
    spent.tokens_in,
    spent.tokens_out,
    spent.cost_usd,
    audits.created_at
from audits
left join spent using ("table", round, stage, arena)
order by audits.batch;
