-- Purpose: the answers that a judge compares: one of each contestant to each turn.
-- Grain: instruction_id, contestant_id, turn.
-- Inputs: responses (of all partitions); shard, the rows of verdicts/shard; pairs (model_a, model_b: contestant_ids).
-- Parameters: none.
-- Method: what failed is asked again, and rounds that ran at the same time may both have asked: of several answers one with a text
--   stands before one without, then the one of the earliest partition.
-- Source: none; bookkeeping.
with contestants as (
    select unnest([model_a, model_b]) as contestant_id from pairs
)

select
    instruction_id,
    contestant_id,
    turn,
    response_id,
    text
from responses
semi join contestants using (contestant_id)
semi join shard using (instruction_id)
qualify row_number() over (
    partition by instruction_id, contestant_id, turn
    order by text is null, round, stage, arena
) = 1
order by instruction_id, contestant_id, turn;
