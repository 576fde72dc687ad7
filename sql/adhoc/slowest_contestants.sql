-- Purpose: which contestants are slow, and which fail to answer.
-- Grain: contestant_id.
-- Inputs: responses.
-- Variables: none.
-- Method: latency_s is the time of a batch divided by its rows, so it measures throughput on the machine that ran it.
--   Tokens per second are all tokens of the answers over all of that time; null where no time was measured.
with contestants as (
    select
        contestant_id,
        count(*) as answers,
        count(*) filter (where finish_reason = 'error') as errors,
        count(*) filter (where finish_reason = 'length') as cut_off,
        round(avg(latency_s), 9) as mean_seconds,
        round(quantile_cont(latency_s, 0.95), 9) as p95_seconds,
        round(sum(tokens_out) / nullif(sum(latency_s) filter (where tokens_out is not null), 0), 9) as tokens_per_second
    from responses
    group by all
)

select
    contestant_id,
    answers,
    errors,
    cut_off,
    mean_seconds,
    p95_seconds,
    tokens_per_second
from contestants
order by mean_seconds desc, contestant_id;
