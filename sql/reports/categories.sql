-- Purpose: on what a stage fought, and how the champion that opened it did in each category.
-- Grain: arena, category.
-- Inputs: battles, described.
-- Parameters: $round, $stage, $target (contestant id of the champion that opened the stage).
-- Method: battles that this stage added, so a pair that was judged on the test set before is not among them. The rate
--   is (wins + ties / 2) / usable battles of the target; null when it has none.
with stage_battles as (
    select
        battles.arena,
        battles.instruction_id,
        battles.winner,
        described.category,
        $target in (battles.model_a, battles.model_b) and battles.winner <> 'unusable' as of_target,
        battles.winner = if(battles.model_a = $target, 'model_a', 'model_b') as won
    from battles
    inner join described using (instruction_id)
    where battles.round = $round and battles.stage = $stage
),

categories as (
    select
        arena,
        category,
        count(distinct instruction_id) as instructions,
        count(*) as battles,
        count(*) filter (where winner <> 'unusable') as usable,
        count(*) filter (where of_target and won) as wins,
        count(*) filter (where of_target and winner = 'tie') as ties,
        count(*) filter (where of_target and winner <> 'tie' and not won) as losses
    from stage_battles
    group by all
)

select
    arena,
    category,
    instructions,
    battles,
    usable,
    wins,
    ties,
    losses,
    (wins + ties / 2) / nullif(wins + ties + losses, 0) as rate
from categories
order by arena, category;
