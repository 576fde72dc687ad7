-- Purpose: whether what is selected gets harder from iteration to iteration.
-- Grain: round, stage, set (drawn or selected).
-- Inputs: slices, training_sets, training_runs, described.
-- Parameters: $round (the last round that counts).
-- Method: quartiles of the difficulty (0 to 10) of what a stage drew and of what it selected; an item of several examples counts
--   once, and those without a difficulty do not. The iteration is one more than the earlier rounds in which a stage trained.
-- Source: Arena Learning (arXiv 2407.10627): the difficulty of the selected data grows with the iterations.
with items as (
    select distinct
        round,
        stage,
        'drawn' as set,
        instruction_id
    from slices
    where round <= $round
    union all
    select distinct
        round,
        stage,
        'selected' as set,
        instruction_id
    from training_sets
    where round <= $round
),

rounds as (
    select
        items.round,
        count(distinct training_runs.round) + 1 as iteration
    from (select distinct round from items) as items
    left join training_runs on training_runs.round < items.round and training_runs.status = 'trained'
    group by items.round
),

quartiles as (
    select
        items.round,
        items.stage,
        items.set,
        count(*) as instructions,
        quantile_cont(described.difficulty, 0.25) as lower_quartile,
        median(described.difficulty) as median,
        quantile_cont(described.difficulty, 0.75) as upper_quartile
    from items
    inner join described on described.instruction_id = items.instruction_id
    where described.difficulty is not null
    group by all
)

select
    quartiles.round,
    rounds.iteration,
    quartiles.stage,
    quartiles.set,
    quartiles.instructions,
    quartiles.lower_quartile,
    quartiles.median,
    quartiles.upper_quartile
from quartiles
inner join rounds on rounds.round = quartiles.round
order by quartiles.round, list_position(['sft', 'dpo', 'rm', 'ppo'], quartiles.stage), quartiles.stage, quartiles.set;
