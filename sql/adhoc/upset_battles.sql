-- Purpose: upsets: battles that a much lower rated model won.
-- Grain: battle_id.
-- Inputs: battles, ratings, instructions, described.
-- Variables: gap (rating points that count as much; default 100).
-- Method: decided battles of every arena, against the newest Bradley-Terry ratings of the scope wizard_arena. Models in
--   different components are linked by no battle, so their ratings cannot be compared.
with boards as (
    select
        model,
        rating,
        component
    from ratings
    where
        scope = 'wizard_arena'
        and method = 'bradley_terry'
        and round = (select max(round) from ratings where scope = 'wizard_arena' and method = 'bradley_terry')
),

decided_battles as (
    select
        *,
        if(winner = 'model_a', model_a, model_b) as won_by,
        if(winner = 'model_a', model_b, model_a) as lost_by
    from battles
    where winner in ('model_a', 'model_b')
)

select
    decided_battles.round,
    decided_battles.stage,
    decided_battles.arena,
    described.category,
    decided_battles.won_by,
    decided_battles.lost_by,
    round(losers.rating - winners.rating, 9) as rating_gap,
    decided_battles.margin,
    decided_battles.order_consistent,
    instructions.conversation[decided_battles.turn].content as instruction,
    decided_battles.judge_id,
    decided_battles.battle_id
from decided_battles
inner join boards as winners on winners.model = decided_battles.won_by
inner join boards as losers
    on losers.model = decided_battles.lost_by and losers.component is not distinct from winners.component
inner join instructions using (instruction_id)
inner join described using (instruction_id)
where losers.rating - winners.rating >= coalesce(getvariable('gap')::double, 100)
order by rating_gap desc, decided_battles.margin desc, decided_battles.battle_id;
