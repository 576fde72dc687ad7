-- Purpose: what the answers of a round cost: tokens and seconds per contestant.
-- Grain: contestant_id.
-- Inputs: responses.
-- Parameters: $round.
-- Method: sums over both arenas and all stages; token counts that are not known (recorded answers) stay null. Seconds
--   are shares of batches, so they add up to the time of the engine.
with round_responses as (
    select *
    from responses
    where round = $round
)

select
    contestant_id,
    count(*) as answers,
    count(error) as errors,
    count(*) filter (where finish_reason = 'length') as cut_off,
    sum(tokens_in)::bigint as tokens_in,
    sum(tokens_out)::bigint as tokens_out,
    -- Rounded, because the order of the rows decides the last digits of a sum.
    round(sum(latency_s), 6) as seconds
from round_responses
group by contestant_id
order by contestant_id;
