-- Purpose: what the round has done so far, beside its plan.
-- Grain: stage, arena, kind (response or verdict), name (contestant_id or judge_id).
-- Inputs: responses, verdicts.
-- Parameters: $round.
-- Method: calls are rows that reached a model or a recording; verdicts that needed no call (no answer, identical answers) are not.
-- Source: none; bookkeeping.
with calls as (
    select
        stage,
        arena,
        'response' as kind,
        contestant_id as name,
        tokens_in,
        tokens_out,
        cost_usd,
        latency_s
    from responses
    where round = $round
    union all
    select
        stage,
        arena,
        'verdict' as kind,
        judge_id as name,
        tokens_in,
        tokens_out,
        cost_usd,
        latency_s
    from verdicts
    where round = $round and (attempts > 0 or judge_kind = 'verifier')
)

select
    stage,
    arena,
    kind,
    name,
    count(*) as calls,
    coalesce(sum(tokens_in), 0)::bigint as tokens_in,
    coalesce(sum(tokens_out), 0)::bigint as tokens_out,
    sum(cost_usd)::double as cost_usd,
    sum(latency_s)::double as seconds
from calls
group by all
order by stage, arena, kind, name;
