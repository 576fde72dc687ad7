-- Purpose: the answers that the games of a partition compared.
-- Grain: instruction_id, contestant_id, turn.
-- Inputs: responses, verdicts.
-- Parameters: $round, $stage, $arena (the partition of the verdicts).
-- Method: a verdict names the answers that it compared. Whoever used an answer again published it again under the same
--   response_id, with the same text. Should judges have compared different answers, the one that was made last stands.
-- Source: none; bookkeeping.
with games as (
    select unnest([response_a, response_b]) as response_id
    from verdicts
    where round = $round and stage = $stage and arena = $arena
)

select
    instruction_id,
    contestant_id,
    turn,
    text
from responses
semi join games using (response_id)
qualify row_number() over (
    partition by instruction_id, contestant_id, turn
    order by created_at desc, response_id
) = 1
order by instruction_id, contestant_id, turn;
