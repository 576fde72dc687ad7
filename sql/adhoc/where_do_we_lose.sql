-- Purpose: in which categories the target loses, worst first.
-- Grain: arena, category.
-- Inputs: battles, described, promotions, models.
-- Variables: target (contestant id; default: the champion).
-- Method: counts over all usable battles of the target, every round and judge; mean_margin is the target's mean score
--   minus its opponent's. The champion is what the newest decision left in place, else the newest registered target.
with target as (
    select
        coalesce(
            getvariable('target')::varchar,
            (
                select if(decision = 'promoted', candidate, champion)
                from promotions
                order by round desc, created_at desc, list_position(['sft', 'dpo', 'ppo'], stage) desc
                limit 1
            ),
            (
                select contestant_id
                from models
                where role = 'target'
                order by round desc, created_at desc, contestant_id
                limit 1
            )
        ) as contestant_id
),

target_battles as (
    select
        arena,
        instruction_id,
        case winner when 'tie' then 'tie' when if(model_a = contestant_id, 'model_a', 'model_b') then 'win' else 'loss' end
            as result,
        if(model_a = contestant_id, mean_a - mean_b, mean_b - mean_a) as score_difference
    from battles
    inner join target on contestant_id in (model_a, model_b)
    where winner in ('model_a', 'model_b', 'tie')
),

categories as (
    select
        arena,
        category,
        count(*) as battles,
        count(*) filter (where result = 'win') as wins,
        count(*) filter (where result = 'tie') as ties,
        count(*) filter (where result = 'loss') as losses,
        round(avg(score_difference), 9) as mean_margin
    from target_battles
    inner join described using (instruction_id)
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
