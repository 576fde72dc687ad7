-- Purpose: the instructions that are fought on in an arena of a round and stage.
-- Grain: instruction_id.
-- Inputs: instructions, slices, wizard_arena.
-- Parameters: $round, $stage, $arena (training: the stage's slice; wizard_arena: the held-out test set; null: no rows), $version (of
--   the built WizardArena sets; null: the instructions that their sources call wizard_diverse or wizard_hard).
-- Source: none; bookkeeping.
select
    instruction_id,
    conversation,
    category,
    language,
    reference,
    checker
from instructions
where
    ($arena::varchar = 'training' and instruction_id in (
        select slices.instruction_id from slices where slices.round = $round::varchar and slices.stage = $stage::varchar
    ))
    or ($arena::varchar = 'wizard_arena' and $version::varchar is null and split in ('wizard_diverse', 'wizard_hard'))
    or ($arena::varchar = 'wizard_arena' and instruction_id in (
        select wizard_arena.instruction_id from wizard_arena where wizard_arena.version = $version::varchar
    ))
order by instruction_id;
