-- Purpose: the instructions that are fought on in an arena of a round and stage.
-- Grain:   one row per instruction.
-- Inputs:  instructions, slices.
-- Params:  $round, $stage, $arena (training: the stage's slice; wizard_arena: the held-out test set).
with drawn as (
    select instruction_id
    from slices
    where round = $round and stage = $stage
)
select
    instruction_id,
    category,
    [turn.content for turn in conversation] as turns,
    reference
from instructions
where
    ($arena = 'training' and instruction_id in (select instruction_id from drawn))
    or ($arena = 'wizard_arena' and split in ('wizard_diverse', 'wizard_hard'))
order by instruction_id
