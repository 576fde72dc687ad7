-- Purpose: what a batch of a round is about: the user turns that its contestants answer.
-- Grain: instruction_id, turn.
-- Inputs: instructions, slices, wizard_arena.
-- Parameters: $round, $stage, $arena; null for tables without them: no rows; $version (as in instructions/arena).
-- Method: as in instructions/arena; a turn is checked if it has a checker of its own.
-- Source: none; bookkeeping.
with fought as (
    select
        instruction_id,
        checker,
        language,
        len(conversation) as turns
    from instructions
    where
        ($arena::varchar = 'training' and instruction_id in (
            select slices.instruction_id from slices where slices.round = $round::varchar and slices.stage = $stage::varchar
        ))
        or (
            $arena::varchar = 'wizard_arena' and $version::varchar is null and split in ('wizard_diverse', 'wizard_hard')
        )
        or ($arena::varchar = 'wizard_arena' and instruction_id in (
            select wizard_arena.instruction_id from wizard_arena where wizard_arena.version = $version::varchar
        ))
),

turns as (
    select
        instruction_id,
        checker,
        language,
        unnest(range(1, turns + 1)) as turn
    from fought
)

select
    instruction_id,
    turn::integer as turn,
    nullif(json_extract(checker, '$[' || (turn - 1) || ']')::varchar, 'null') is not null as checked,
    language
from turns
order by instruction_id, turn;
