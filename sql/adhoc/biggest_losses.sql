-- Purpose: which battles the target lost by the widest margin, with both answers.
-- Grain: battle_id; the first `top` ones.
-- Inputs: battles, instructions, described, responses, promotions, models.
-- Variables: target (contestant id; default: the champion), top (rows; default 20).
-- Method: usable battles that the target lost, by the difference of the mean scores. The champion is what the newest
--   decision left in place, else the newest registered target.
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

lost_battles as (
    select
        battles.*,
        contestant_id as target,
        if(model_a = contestant_id, model_b, model_a) as opponent
    from battles
    inner join target on contestant_id in (model_a, model_b)
    where winner = if(model_a = contestant_id, 'model_b', 'model_a')
),

answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        any_value(text order by round, stage, arena) as text
    from responses
    group by all
)

select
    lost_battles.round,
    lost_battles.stage,
    lost_battles.arena,
    described.category,
    lost_battles.margin,
    lost_battles.target,
    lost_battles.opponent,
    instructions.conversation[lost_battles.turn].content as instruction,
    target_answers.text as target_answer,
    opponent_answers.text as opponent_answer,
    lost_battles.judge_id,
    lost_battles.battle_id
from lost_battles
inner join instructions using (instruction_id)
inner join described using (instruction_id)
left join answers as target_answers
    on target_answers.instruction_id = lost_battles.instruction_id
    and target_answers.turn = lost_battles.turn
    and target_answers.contestant_id = lost_battles.target
left join answers as opponent_answers
    on opponent_answers.instruction_id = lost_battles.instruction_id
    and opponent_answers.turn = lost_battles.turn
    and opponent_answers.contestant_id = lost_battles.opponent
order by lost_battles.margin desc, lost_battles.round desc, lost_battles.battle_id
limit coalesce(getvariable('top')::bigint, 20);
