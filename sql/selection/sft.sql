-- Purpose: the examples that SFT learns from: the best rival's answer wherever the target clearly lost.
-- Grain: instruction_id, turn.
-- Inputs: battles, responses, instructions; of one round and stage, arena 'training'.
-- Parameters: $round, $stage, $target (contestant id of the model to train), $margin (threshold K, score points).
-- Method:
--   Only items (instruction and turn) on which every pair among their contestants is usable. A model's mean is taken
--   over all its games on the item, against all opponents and by all judges.
--   The answer to learn is that of the rival with the highest mean (of equal ones, the smaller contestant id). An item
--   is kept if the target strictly lost its own battle against that rival and the means differ by at least $margin.
--   The prompt is the history that the chosen answer was given in: the user's turns so far, with the chosen model's own
--   earlier answers in between.
-- Source: Arena Learning (arXiv 2407.10627), SFT data selection. The paper leaves open what K compares, strictness and
--   the choice among several winners; a strict loss is our reading, so K = 0 does not keep the whole slice.
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

best_rivals as (
    select
        instruction_id,
        turn,
        contestant_id,
        mean
    from means
    where contestant_id <> $target
    qualify row_number() over (partition by instruction_id, turn order by mean desc, contestant_id) = 1
),

-- Over all judges of the one battle.
target_losses as (
    select
        instruction_id,
        turn,
        opponent_id as contestant_id
    from sides
    where contestant_id = $target
    group by all
    having round(sum(score), 9) < round(sum(opponent_score), 9)
),

selected as (
    select
        instruction_id,
        turn,
        best_rivals.contestant_id as chosen_model,
        $target::varchar as rejected_model,
        round(best_rivals.mean - target.mean, 9) as margin
    from best_rivals
    inner join target_losses using (instruction_id, turn, contestant_id)
    inner join means as target using (instruction_id, turn)
    where target.contestant_id = $target and round(best_rivals.mean - target.mean, 9) >= $margin
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
    null::varchar as rejected,
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
where chosen.contestant_id = chosen_model
order by instruction_id, turn;
