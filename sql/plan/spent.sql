-- Purpose: what a round has cost so far, work that still waits for its audit included.
-- Grain: one row.
-- Inputs: responses, verdicts; staged_responses, staged_verdicts (the same columns, not published yet).
-- Parameters: $round.
-- Method: a row that is published and staged again (a partition that is made anew) counts once.
-- Source: none; bookkeeping.
with calls as (
    select distinct
        'response' as kind,
        response_id as id,
        tokens_in,
        tokens_out,
        cost_usd
    from (select * from responses union all by name select * from staged_responses)
    where round = $round
    union all
    select distinct
        'verdict' as kind,
        concat_ws('|', judge_id, response_a, response_b, instruction_id, turn, model_a, model_b, shown_first) as id,
        tokens_in,
        tokens_out,
        cost_usd
    from (select * from verdicts union all by name select * from staged_verdicts)
    where round = $round
)

select
    coalesce(sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0)), 0)::bigint as tokens,
    coalesce(sum(cost_usd), 0)::double as usd
from calls;
