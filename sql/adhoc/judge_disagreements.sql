-- Purpose: where judges disagree: battles of the same two answers that several judges decided differently.
-- Grain: instruction_id, turn, model_a, model_b.
-- Inputs: battles, instructions, described.
-- Variables: none.
-- Method: usable battles only. A verdict is the winner, or tie. spread is the distance between the judge that likes
--   model_a most and the one that likes it least, in points of the score difference.
with disputed_battles as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        count(distinct judge_id) as judges,
        string_agg(
            concat(judge_id, ': ', case winner when 'model_a' then model_a when 'model_b' then model_b else 'tie' end),
            ', ' order by judge_id, winner
        ) as verdicts,
        round(max(mean_a - mean_b) - min(mean_a - mean_b), 9) as spread
    from battles
    where winner in ('model_a', 'model_b', 'tie')
    group by all
    having count(distinct judge_id) > 1 and count(distinct winner) > 1
)

select
    disputed_battles.instruction_id,
    disputed_battles.turn,
    described.category,
    disputed_battles.model_a,
    disputed_battles.model_b,
    disputed_battles.judges,
    disputed_battles.verdicts,
    disputed_battles.spread,
    instructions.conversation[disputed_battles.turn].content as instruction
from disputed_battles
inner join instructions using (instruction_id)
inner join described using (instruction_id)
order by
    disputed_battles.spread desc,
    disputed_battles.instruction_id,
    disputed_battles.turn,
    disputed_battles.model_a,
    disputed_battles.model_b;
