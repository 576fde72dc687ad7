-- Purpose: the prompts that PPO lets the policy answer: those of the items that also make reward-model pairs.
-- Grain: instruction_id, turn.
-- Inputs: preference_pairs (the rows of pairs.sql), prompted_answers.
-- Parameters: $target (contestant id of the model to train).
-- Method: the prompt ends with a user's turn, and the policy answers it. Earlier answers in it are the target's own,
--   because the policy starts as the target. There is nothing to learn or avoid, so chosen and rejected are null;
--   models, margin and battle_ids are those of the pair that the item was selected by.
-- Source: Arena Learning (arXiv 2407.10627), section on PPO: the same battle rule as for the reward model.
select
    round,
    stage,
    example_id,
    instruction_id,
    turn,
    own.prompt,
    null::varchar as chosen,
    null::varchar as rejected,
    chosen_model,
    rejected_model,
    margin,
    battle_ids,
    category,
    license
from preference_pairs
inner join prompted_answers as own using (instruction_id, turn)
where own.contestant_id = $target and own.prompt is not null
order by instruction_id, turn;
