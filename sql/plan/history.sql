-- Purpose: what a contestant's answer or a judge's verdict usually takes, from all that were made so far.
-- Grain: kind (response or verdict), name (contestant_id or judge_id), and one row per kind with name null for all of them.
-- Inputs: responses, verdicts.
-- Parameters: none.
-- Method: means over the calls that reached a model. tokens_per_s: generated tokens by the seconds that were spent on them.
--   characters: mean length of an answer, which is what its judge will read.
-- Source: none; bookkeeping.
with calls as (
    select
        'response' as kind,
        contestant_id as name,
        tokens_in,
        tokens_out,
        latency_s,
        length(text) as characters
    from responses
    where text is not null
    union all
    select
        'verdict' as kind,
        judge_id as name,
        tokens_in,
        tokens_out,
        latency_s,
        null as characters
    from verdicts
    where attempts > 0
)

select
    kind,
    name,
    count(*) as calls,
    avg(tokens_in) as tokens_in,
    avg(tokens_out) as tokens_out,
    sum(tokens_out) / nullif(sum(latency_s) filter (where tokens_out > 0), 0) as tokens_per_s,
    avg(characters) as characters
from calls
group by grouping sets ((kind, name), (kind))
order by kind, name nulls first;
