-- Purpose: in which categories the target loses, worst first.
-- Grain: arena, category.
-- Inputs: battles, instructions.
-- Parameters: $target (contestant id).
-- Method: counts over all usable battles of the target, every round and judge; mean_margin is the target's mean score
--   minus its opponent's.
with target_battles as (
    select
        arena,
        instruction_id,
        winner,
        (model_a = $target) = (winner = 'model_a') as won_unless_tie,
        case when model_a = $target then mean_a - mean_b else mean_b - mean_a end as score_difference
    from battles
    where $target in (model_a, model_b) and winner in ('model_a', 'model_b', 'tie')
),

categories as (
    select
        arena,
        category,
        count(*) as battles,
        count(*) filter (where winner <> 'tie' and won_unless_tie) as wins,
        count(*) filter (where winner = 'tie') as ties,
        count(*) filter (where winner <> 'tie' and not won_unless_tie) as losses,
        round(avg(score_difference), 9) as mean_margin
    from target_battles
    inner join instructions using (instruction_id)
    group by all
)

select
    arena,
    category,
    battles,
    wins,
    ties,
    losses,
    losses / battles as loss_rate,
    mean_margin
from categories
order by arena, loss_rate desc, category;
