-- Purpose: from which rivals the training examples come.
-- Grain: round, stage, chosen_model.
-- Inputs: training_sets.
-- Variables: none.
-- Method: selected examples per model whose answer is learned, and their share of the stage's examples. With DPO the
--   target's own answer can be the better one.
with rivals as (
    select
        round,
        stage,
        chosen_model,
        count(*) as examples,
        count(distinct category) as categories,
        round(avg(margin), 9) as mean_margin
    from training_sets
    group by all
)

select
    round,
    stage,
    chosen_model,
    examples,
    examples / sum(examples) over (partition by round, stage) as share,
    categories,
    mean_margin
from rivals
order by round, list_position(['sft', 'dpo', 'ppo'], stage), examples desc, chosen_model;
