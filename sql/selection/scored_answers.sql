-- Purpose: what the judges gave every answer of a stage, for the items that can be selected from.
-- Grain: instruction_id, turn, contestant_id.
-- Inputs: battles; of one round and stage, arena 'training'.
-- Parameters: $round, $stage.
-- Method: an item is an instruction and a turn. Only items on which every pair among their contestants is usable. An
--   answer's mean is taken over all its games on the item, against all opponents and by all judges; it lost to an
--   opponent if its scores in their own games, of all judges, sum to less. battle_ids are those of the whole item.
-- Source: Arena Learning (arXiv 2407.10627), data selection; which games make a mean and what an unusable pair drops
--   are our choices, the paper leaves them open.
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

-- Over all judges of the one pair.
duels as (
    select
        instruction_id,
        turn,
        contestant_id,
        opponent_id,
        round(sum(score), 9) < round(sum(opponent_score), 9) as lost
    from sides
    group by all
),

losses as (
    select
        instruction_id,
        turn,
        contestant_id,
        coalesce(list(opponent_id order by opponent_id) filter (where lost), []) as lost_to
    from duels
    group by all
)

select
    instruction_id,
    turn,
    contestant_id,
    mean,
    lost_to,
    battle_ids
from means
inner join losses using (instruction_id, turn, contestant_id)
inner join complete_items using (instruction_id, turn)
order by instruction_id, turn, contestant_id;
