-- Purpose: what a usable verdict costs with each judge.
-- Grain: judge_id, judge_kind.
-- Inputs: verdicts.
-- Variables: none.
-- Method: all calls are paid for, also those that did not parse, so the cost of a usable verdict is the whole cost
--   divided by the games that parsed; null if none did. Costs are US dollars.
with judges as (
    select
        judge_id,
        judge_kind,
        count(*) as games,
        count(*) filter (where parse_status = 'ok') as parsed,
        sum(tokens_in)::bigint as tokens_in,
        sum(tokens_out)::bigint as tokens_out,
        round(sum(cost_usd), 9) as cost_usd
    from verdicts
    group by all
)

select
    judge_id,
    judge_kind,
    games,
    parsed,
    tokens_in,
    tokens_out,
    cost_usd,
    cost_usd / nullif(parsed, 0) as cost_per_verdict_usd
from judges
order by judge_id, judge_kind;
