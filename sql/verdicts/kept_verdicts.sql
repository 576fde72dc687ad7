-- Purpose: the verdicts of a partition that still hold, so that the partition is made anew from them and what is due.
-- Grain: instruction_id, turn, model_a, model_b, shown_first.
-- Inputs: instructions, slices, wizard_arena, responses, verdicts, staged (verdicts that wait for their audit), pairs.
-- Parameters: $round, $stage, $arena (the partition), $version (as in instructions/arena); $judge_id; $shard,
--   $shards (of the arena's instructions).
-- Method: as in verdicts/due_games: the judge saw the answers that the contestants have today, and there was something to judge.
-- Source: none; bookkeeping.
with mine as (
    select instruction_id
    from instructions
    where
        ($arena = 'training' and instruction_id in (
            select slices.instruction_id from slices where slices.round = $round and slices.stage = $stage
        ))
        or ($arena = 'wizard_arena' and $version is null and split in ('wizard_diverse', 'wizard_hard'))
        or ($arena = 'wizard_arena' and instruction_id in (
            select wizard_arena.instruction_id from wizard_arena where wizard_arena.version = $version
        ))
    qualify (row_number() over (order by instruction_id) - 1) % $shards::bigint = $shard::bigint
),

here as (
    select * from verdicts where round = $round and stage = $stage and arena = $arena
    union all by name
    select * from staged
),

-- As in verdicts/due_games.
standing as (
    select response_id
    from responses
    semi join mine using (instruction_id)
    qualify row_number() over (
        partition by instruction_id, contestant_id, turn
        order by text is null, round, stage, arena
    ) = 1
)

select here.*
from here
semi join mine using (instruction_id)
semi join pairs using (model_a, model_b)
where
    here.judge_id = $judge_id
    and here.parse_status not in ('engine_error', 'missing_response')
    and here.response_a in (select response_id from standing)
    and here.response_b in (select response_id from standing)
qualify row_number() over (
    partition by here.instruction_id, here.turn, here.model_a, here.model_b, here.shown_first
    order by here.created_at
) = 1
order by here.instruction_id, here.turn, here.model_a, here.model_b, here.shown_first;
