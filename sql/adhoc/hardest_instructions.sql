-- Purpose: the hardest instructions: everybody scores low.
-- Grain: instruction_id, turn; the first `top` ones.
-- Inputs: battles, instructions, described.
-- Variables: top (rows; default 20).
-- Method: a contestant's score is its mean over all its usable battles on the instruction, 1 to 10. Instructions are
--   ordered by the best contestant's score: low means that nobody did well.
with sides as (
    select
        instruction_id,
        turn,
        unnest([model_a, model_b]) as contestant_id,
        unnest([mean_a, mean_b]) as score
    from battles
    where winner in ('model_a', 'model_b', 'tie')
),

contestants as (
    select
        instruction_id,
        turn,
        contestant_id,
        round(avg(score), 9) as score
    from sides
    group by all
),

scored_instructions as (
    select
        instruction_id,
        turn,
        count(*) as contestants,
        max(score) as best_score,
        round(avg(score), 9) as mean_score
    from contestants
    group by instruction_id, turn
)

select
    scored_instructions.instruction_id,
    scored_instructions.turn,
    described.category,
    described.difficulty,
    scored_instructions.contestants,
    scored_instructions.best_score,
    scored_instructions.mean_score,
    instructions.conversation[scored_instructions.turn].content as instruction
from scored_instructions
inner join instructions using (instruction_id)
inner join described using (instruction_id)
order by
    scored_instructions.best_score,
    scored_instructions.mean_score,
    scored_instructions.instruction_id,
    scored_instructions.turn
limit coalesce(getvariable('top')::bigint, 20);
