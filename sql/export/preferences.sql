-- Purpose: pairs of DPO or of the reward model: `prompt`, `chosen` and `rejected` as lists of messages.
-- Grain: prompt_id.
-- Inputs: training_sets; splits, the rows of export/splits.
-- Parameters: $stage, $round (only this one; null: all).
-- Method: chosen and rejected hold the answer alone; the prompt is what came before both.
-- Source: TRL's conversational preference format with an explicit prompt; split names of HuggingFaceH4/ultrafeedback_binarized.
select
    split,
    example_id as prompt_id,
    prompt,
    [{'role': 'assistant', 'content': chosen}] as chosen,
    [{'role': 'assistant', 'content': rejected}] as rejected,
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
