-- Purpose: what a round took: calls, tokens, seconds and money of every contestant and judge.
-- Grain: kind (answers or verdicts), name (contestant_id or judge_id).
-- Inputs: responses, verdicts.
-- Parameters: $round.
-- Method: sums over both arenas and all stages; token counts that are not known (recorded answers) stay null. Seconds are shares of
--   batches, so they add up to the time of the engine. A verdict that needed no call (no answer, identical answers) is none;
--   one that could not be read is an error. Only answers are cut off.
with calls as (
    select
        'answers' as kind,
        contestant_id as name,
        error is not null as failed,
        finish_reason = 'length' as cut_off,
        tokens_in,
        tokens_out,
        latency_s,
        cost_usd
    from responses
    where round = $round
    union all
    select
        'verdicts' as kind,
        judge_id as name,
        parse_status <> 'ok' as failed,
        null as cut_off,
        tokens_in,
        tokens_out,
        latency_s,
        cost_usd
    from verdicts
    where round = $round and (attempts > 0 or judge_kind = 'verifier')
)

select
    kind,
    name,
    count(*) as calls,
    count(*) filter (where failed) as errors,
    sum(cut_off::integer)::bigint as cut_off,
    sum(tokens_in)::bigint as tokens_in,
    sum(tokens_out)::bigint as tokens_out,
    -- Rounded, because the order of the rows decides the last digits of a sum.
    round(sum(latency_s), 6) as seconds,
    round(sum(cost_usd), 6) as cost_usd
from calls
group by all
order by kind, name;
