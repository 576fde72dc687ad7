-- Purpose: the instructions that are fought on in an arena of a round and stage.
-- Grain:   one row per instruction.
-- Inputs:  instructions, slices, wizard_arena.
-- Params:  $round, $stage, $arena (training: the stage's slice; wizard_arena: the held-out test set), $version (of the built
--          WizardArena sets; null: the instructions that their sources call wizard_diverse or wizard_hard).
with drawn as (
    select instruction_id
    from slices
    where round = $round and stage = $stage
),
members as (
    select instruction_id
    from wizard_arena
    where version = $version
)
select
    instruction_id,
    category,
    [turn.content for turn in conversation] as turns,
    reference
from instructions
where
    ($arena = 'training' and instruction_id in (select instruction_id from drawn))
    or ($arena = 'wizard_arena' and $version is null and split in ('wizard_diverse', 'wizard_hard'))
    or ($arena = 'wizard_arena' and instruction_id in (select instruction_id from members))
order by instruction_id
