-- Purpose: what a batch of a round is about: the user turns that its contestants answer.
-- Grain: instruction_id, turn.
-- Inputs: arena_instructions, the rows of instructions/arena.
-- Parameters: none.
-- Method: a turn is checked if it has a checker of its own.
-- Source: none; bookkeeping.
with turns as (
    select
        instruction_id,
        checker,
        language,
        unnest(range(1, len(conversation) + 1)) as turn
    from arena_instructions
)

select
    instruction_id,
    turn::integer as turn,
    nullif(json_extract(checker, '$[' || (turn - 1) || ']')::varchar, 'null') is not null as checked,
    language
from turns
order by instruction_id, turn;
