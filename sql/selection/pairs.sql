-- Purpose: the preference pairs that DPO and the reward model learn from: the best against the worst answer of an item.
-- Grain: instruction_id, turn.
-- Inputs: scored_answers, prompted_answers, described.
-- Parameters: $round, $stage, $margin (threshold K, score points: DPO and the reward model have one each; null: every
--   pair with a gap, for the strategies of draw.sql that set no threshold).
-- Method:
--   Chosen is the answer with the highest mean, rejected the one with the lowest; any contestant may be either. Equal
--   means are decided by the smaller contestant id. An item is kept if the gap is at least $margin and above 0, and the
--   two texts differ.
--   The prompt is the history that the chosen answer was given in. In later turns the rejected answer was given in its
--   own model's history, which a pair with one prompt cannot hold.
-- Source: Arena Learning (arXiv 2407.10627), DPO data selection; the rejected side and ties are our choice, and so is
--   the same rule for the reward model.
with ranked_answers as (
    select
        *,
        row_number() over (partition by instruction_id, turn order by mean desc, contestant_id) as place,
        row_number() over (partition by instruction_id, turn order by mean, contestant_id) as place_from_last
    from scored_answers
),

selected as (
    select
        instruction_id,
        turn,
        best.contestant_id as chosen_model,
        worst.contestant_id as rejected_model,
        round(best.mean - worst.mean, 9) as margin,
        best.battle_ids
    from ranked_answers as best
    inner join ranked_answers as worst using (instruction_id, turn)
    where
        best.place = 1
        and worst.place_from_last = 1
        and best.mean > worst.mean
        and ($margin::double is null or round(best.mean - worst.mean, 9) >= $margin)
)

select
    $round::varchar as round,
    $stage::varchar as stage,
    left(sha256(concat_ws(chr(31), $round, $stage, instruction_id, turn)), 32) as example_id,
    instruction_id,
    turn,
    chosen.prompt,
    chosen.text as chosen,
    rejected.text as rejected,
    chosen_model,
    rejected_model,
    margin,
    battle_ids,
    category,
    license
from selected
inner join prompted_answers as chosen using (instruction_id, turn)
inner join prompted_answers as rejected using (instruction_id, turn)
inner join described using (instruction_id)
where
    chosen.contestant_id = chosen_model
    and rejected.contestant_id = rejected_model
    and chosen.prompt is not null
    and chosen.text <> rejected.text
order by instruction_id, turn;
