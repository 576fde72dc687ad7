-- Purpose: the preference pairs that DPO learns from: the best against the worst answer of an item.
-- Grain: instruction_id, turn.
-- Inputs: battles, responses, instructions; of one round and stage, arena 'training'.
-- Parameters: $round, $stage, $margin (threshold K, score points).
-- Method:
--   Only items (instruction and turn) on which every pair among their contestants is usable. A model's mean is taken
--   over all its games on the item, against all opponents and by all judges.
--   Chosen is the answer with the highest mean, rejected the one with the lowest; any contestant may be either. Equal
--   means are decided by the smaller contestant id. An item is kept if the gap is at least $margin and above 0, and the
--   two texts differ.
--   The prompt is the history that the chosen answer was given in: the user's turns so far, with the chosen model's own
--   earlier answers in between. In later turns the rejected answer was given in its own model's history, which a pair
--   with one prompt cannot hold.
-- Source: Arena Learning (arXiv 2407.10627), DPO data selection; the rejected side and ties are our choice.
with stage_battles as (
    select *
    from battles
    where round = $round and stage = $stage and arena = 'training'
),

contestants as (
    select distinct
        instruction_id,
        turn,
        unnest([model_a, model_b]) as contestant_id
    from stage_battles
),

-- The pairs that this stage lets fight: all of them in a round robin, or only the target's.
pairings as (
    select distinct model_a, model_b from stage_battles
),

expected_pairs as (
    select
        a.instruction_id,
        a.turn,
        count(*) as pairs
    from pairings
    inner join contestants as a on a.contestant_id = pairings.model_a
    inner join contestants as b
        on b.contestant_id = pairings.model_b and b.instruction_id = a.instruction_id and b.turn = a.turn
    group by all
),

-- Means over different opponents cannot be compared, so one unusable or missing pair drops the whole item.
complete_items as (
    select
        instruction_id,
        turn,
        list(battle_id order by battle_id) as battle_ids
    from stage_battles
    inner join expected_pairs using (instruction_id, turn)
    group by instruction_id, turn
    having bool_and(winner in ('model_a', 'model_b', 'tie')) and count(distinct (model_a, model_b)) = any_value(pairs)
),

sides as (
    select
        instruction_id,
        turn,
        unnest([model_a, model_b]) as contestant_id,
        unnest([model_b, model_a]) as opponent_id,
        unnest([mean_a, mean_b]) as score,
        unnest([mean_b, mean_a]) as opponent_score
    from stage_battles
    inner join complete_items using (instruction_id, turn)
),

-- Every battle has two games, so the mean of battle means is the mean of games. Rounding makes equal means equal.
means as (
    select
        instruction_id,
        turn,
        contestant_id,
        round(avg(score), 9) as mean
    from sides
    group by all
),

ranked_answers as (
    select
        *,
        row_number() over (partition by instruction_id, turn order by mean desc, contestant_id) as place,
        row_number() over (partition by instruction_id, turn order by mean, contestant_id) as place_from_last
    from means
),

selected as (
    select
        instruction_id,
        turn,
        best.contestant_id as chosen_model,
        worst.contestant_id as rejected_model,
        round(best.mean - worst.mean, 9) as margin
    from ranked_answers as best
    inner join ranked_answers as worst using (instruction_id, turn)
    where
        best.place = 1
        and worst.place_from_last = 1
        and round(best.mean - worst.mean, 9) >= $margin
        and best.mean > worst.mean
),

answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        text
    from responses
    where round = $round and stage = $stage and arena = 'training' and text is not null
),

messages as (
    select
        selected.instruction_id,
        selected.turn,
        2 * earlier.turn - 1 as position,
        {'role': 'user', 'content': instructions.conversation[earlier.turn].content} as message
    from selected
    inner join instructions using (instruction_id)
    cross join lateral (select unnest(range(1, selected.turn + 1)) as turn) as earlier
    union all
    select
        selected.instruction_id,
        selected.turn,
        2 * answers.turn,
        {'role': 'assistant', 'content': answers.text}
    from selected
    inner join answers
        on answers.instruction_id = selected.instruction_id
        and answers.contestant_id = selected.chosen_model
        and answers.turn < selected.turn
),

-- A conversation with a gap (an earlier answer failed) is no prompt.
prompts as (
    select
        instruction_id,
        turn,
        list(message order by position) as prompt
    from messages
    group by instruction_id, turn
    having count(*) = 2 * turn - 1
)

select
    $round::varchar as round,
    $stage::varchar as stage,
    left(sha256(concat_ws(chr(31), $round, $stage, instruction_id, turn)), 32) as example_id,
    instruction_id,
    turn,
    prompt,
    chosen.text as chosen,
    rejected.text as rejected,
    chosen_model,
    rejected_model,
    margin,
    battle_ids,
    category,
    license
from selected
inner join complete_items using (instruction_id, turn)
inner join prompts using (instruction_id, turn)
inner join instructions using (instruction_id)
inner join answers as chosen using (instruction_id, turn)
inner join answers as rejected using (instruction_id, turn)
where chosen.contestant_id = chosen_model and rejected.contestant_id = rejected_model and chosen.text <> rejected.text
order by instruction_id, turn;
