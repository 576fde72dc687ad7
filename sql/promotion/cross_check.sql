-- Purpose: how the candidate does against the champion in the eyes of each judge alone.
-- Grain: judge (the name of a judge, or verifier).
-- Inputs: judge_battles (the rows of battles/merge_games for the stage's test battles).
-- Parameters: $candidate, $champion (contestant ids).
-- Method: a judge's battles are merged over its own two games; a tie is half a win; unusable battles count nowhere. A
--   judge id is its name, a hyphen and 8 hex digits; that of the verifiers ends with their version.
-- Source: ours; the paper's training judge is its test judge, and a second opinion shows what that hides.
with duels as (
    select
        regexp_replace(judge_id, '-([0-9a-f]{8}|v[0-9]+)$', '') as judge,
        instruction_id,
        case
            when winner = 'tie' then 0.5
            when (winner = 'model_a') = (model_a = $candidate) then 1
            else 0
        end as score
    from judge_battles
    where winner <> 'unusable' and $candidate in (model_a, model_b) and $champion in (model_a, model_b)
)

select
    judge,
    count(distinct instruction_id) as instructions,
    avg(score)::double as rate
from duels
group by judge
order by judge;
