-- Purpose: how much of a stage's slice a selection can use, and what it knows about it.
-- Grain: one row.
-- Inputs: battles (of one round and stage, arena 'training'), scored_answers, described.
-- Parameters: $round, $stage.
-- Method: an item is an instruction and a turn. It is usable if every pair among its contestants is
--   (scored_answers.sql).
with items as (
    select distinct
        instruction_id,
        turn
    from battles
    where round = $round and stage = $stage and arena = 'training'
),

usable_items as (
    select distinct
        instruction_id,
        turn
    from scored_answers
)

select
    count(*) as items,
    count(usable_items.turn) as usable,
    count(difficulty) as with_difficulty,
    count(cluster) as with_cluster
from items
left join usable_items using (instruction_id, turn)
left join described using (instruction_id);
