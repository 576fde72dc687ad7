-- Purpose: examples of SFT as conversations: the layout that Hugging Face calls `messages`.
-- Grain: prompt_id.
-- Inputs: training_sets; splits, the rows of export/splits.
-- Parameters: $stage, $round (only this one; null: all).
-- Method: messages is the prompt and the answer to learn after it.
-- Source: split names and layout of HuggingFaceH4/ultrachat_200k.
select
    split,
    example_id as prompt_id,
    list_append(prompt, {'role': 'assistant', 'content': chosen}) as messages,
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
