-- Purpose: what PPO lets the policy answer: `prompt` as a list of messages.
-- Grain: prompt_id.
-- Inputs: training_sets, instructions.
-- Parameters: $stage, $round (only this one; null: all), $test_share (0 to 1), $seed.
-- Method: the prompt ends with a turn of the user.
--   An instruction is in one split with all its turns: the test split has those whose MD5, with the seed, is among the
--   first $test_share of all numbers; so it is the same on every machine and does not move when examples are added.
-- Source: TRL's conversational prompt-only format; split names of HuggingFaceH4/ultrafeedback_binarized.
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
from examples
order by prompt_id;
