-- Purpose: examples of SFT as conversations: the layout that Hugging Face calls `messages`.
-- Grain: prompt_id.
-- Inputs: training_sets, instructions.
-- Parameters: $stage, $round (only this one; null: all), $test_share (0 to 1), $seed.
-- Method: messages is the prompt and the answer to learn after it.
--   An instruction is in one split with all its turns: the test split has those whose MD5, with the seed, is among the
--   first $test_share of all numbers; so it is the same on every machine and does not move when examples are added.
-- Source: split names and layout of HuggingFaceH4/ultrachat_200k.
with examples as (
    select
        training_sets.*,
        instructions.source,
        ('0x' || left(md5(concat_ws('/', $seed::bigint, training_sets.instruction_id)), 8))::bigint / 4294967296.0 < $test_share::double as is_test
    from training_sets
    inner join instructions using (instruction_id)
    where stage = $stage and ($round::varchar is null or training_sets.round = $round)
)

select
    if(is_test, 'test', 'train') as split,
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
from examples
order by prompt_id;
