-- Purpose: the verdicts of a partition that still hold, so that the partition is made anew from them and what is due.
-- Grain: instruction_id, turn, model_a, model_b, shown_first.
-- Inputs: shard and standing_answers, the rows of verdicts/shard and verdicts/standing_answers; verdicts, staged (verdicts that wait
--   for their audit), pairs.
-- Parameters: $round, $stage, $arena (the partition); $judge_id.
-- Method: as in verdicts/due_games: the judge saw the answers that the contestants have today, and there was something to judge.
-- Source: none; bookkeeping.
with here as (
    select * from verdicts where round = $round and stage = $stage and arena = $arena
    union all by name
    select * from staged
)

select here.*
from here
semi join shard using (instruction_id)
semi join pairs using (model_a, model_b)
where
    here.judge_id = $judge_id
    and here.parse_status not in ('engine_error', 'missing_response')
    and here.response_a in (select response_id from standing_answers)
    and here.response_b in (select response_id from standing_answers)
qualify row_number() over (
    partition by here.instruction_id, here.turn, here.model_a, here.model_b, here.shown_first
    order by here.created_at
) = 1
order by here.instruction_id, here.turn, here.model_a, here.model_b, here.shown_first;
