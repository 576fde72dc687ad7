-- Purpose: what PPO lets the policy answer: `prompt` as a list of messages.
-- Grain: prompt_id.
-- Inputs: training_sets; splits, the rows of export/splits.
-- Parameters: $stage, $round (only this one; null: all).
-- Method: the prompt ends with a turn of the user.
-- Source: TRL's conversational prompt-only format; split names of HuggingFaceH4/ultrafeedback_binarized.
select
    split,
    example_id as prompt_id,
    prompt,
    round,
    instruction_id,
    turn,
    source,
    license,
    category,
    chosen_model,
    rejected_model,
    margin
from training_sets
inner join splits using (instruction_id)
where stage = $stage and ($round::varchar is null or round = $round)
order by prompt_id;
