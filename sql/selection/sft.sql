-- Purpose: the examples that SFT can learn from: the best rival's answer wherever the target clearly lost.
-- Grain: instruction_id, turn.
-- Inputs: scored_answers, prompted_answers, described.
-- Parameters: $round, $stage, $target (contestant id of the model to train), $margin (threshold K, score points; null:
--   every item of the slice, also where the target did not lose, for the strategies of draw.sql that set no threshold).
-- Method:
--   The answer to learn is that of the rival with the highest mean (of equal ones, the smaller contestant id). An item
--   is kept if the target strictly lost its own battle against that rival and the means differ by at least $margin.
--   Without a threshold the margin is negative where the target was the better one.
-- Source: Arena Learning (arXiv 2407.10627), SFT data selection. The paper leaves open what K compares, strictness and
--   the choice among several winners; a strict loss is our reading, so K = 0 does not keep the whole slice.
with best_rivals as (
    select *
    from scored_answers
    where contestant_id <> $target
    qualify row_number() over (partition by instruction_id, turn order by mean desc, contestant_id) = 1
),

selected as (
    select
        instruction_id,
        turn,
        best_rivals.contestant_id as chosen_model,
        target.contestant_id as rejected_model,
        round(best_rivals.mean - target.mean, 9) as margin,
        target.battle_ids
    from best_rivals
    inner join scored_answers as target using (instruction_id, turn)
    where
        target.contestant_id = $target
        and (
            $margin::double is null
            or (
                list_contains(target.lost_to, best_rivals.contestant_id)
                and round(best_rivals.mean - target.mean, 9) >= $margin
            )
        )
)

select
    $round::varchar as round,
    $stage::varchar as stage,
    left(sha256(concat_ws(chr(31), $round, $stage, instruction_id, turn)), 32) as example_id,
    instruction_id,
    turn,
    chosen.prompt,
    chosen.text as chosen,
    null::varchar as rejected,
    chosen_model,
    rejected_model,
    margin,
    battle_ids,
    category,
    license
from selected
inner join prompted_answers as chosen using (instruction_id, turn)
inner join described using (instruction_id)
where chosen.contestant_id = chosen_model and chosen.prompt is not null
order by instruction_id, turn;
