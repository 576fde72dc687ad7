-- Purpose: every answer that a judge may need in an arena: instruction, turn, contestant, text, and what checks it.
-- Grain:   one row per instruction, turn and contestant of the roster.
-- Inputs:  instructions, slices, responses.
-- Params:  $round, $stage, $arena, $contestants (list of contestant_id).
with drawn as (
    select instruction_id
    from slices
    where round = $round and stage = $stage
),
fought as (
    select instruction_id, conversation, checker
    from instructions
    where
        ($arena = 'training' and instruction_id in (select instruction_id from drawn))
        or ($arena = 'wizard_arena' and split in ('wizard_diverse', 'wizard_hard'))
)
select
    f.instruction_id,
    r.turn,
    r.contestant_id,
    f.conversation[r.turn].content as instruction,
    json_extract(f.checker, '$[' || (r.turn - 1) || ']')::varchar as checker,
    r.text
from fought f
join responses r using (instruction_id)
where list_contains($contestants, r.contestant_id)
order by f.instruction_id, r.turn, r.contestant_id
