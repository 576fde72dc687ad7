-- Purpose: who held the champion's place when each stage of a round opened.
-- Grain: stage; of one round, only stages that drew, fought, trained or decided anything.
-- Inputs: slices, battles, training_runs, promotions, models.
-- Parameters: $round, $target (contestant id of the configured target).
-- Method: the decision names the champion, and so does the training run as its parent. A stage that got to neither
--   takes the newest promotion of the target's family before it, and the target itself when there was none. Stages run
--   one after the other, so every promotion that a stage without a decision finds in its round was made before it.
with stages as (
    select stage from slices where round = $round
    union
    select stage from battles where round = $round
    union
    select stage from training_runs where round = $round and stage <> 'rm' -- shares the battles of ppo
    union
    select stage from promotions where round = $round
),

-- A contestant id is a name, a hyphen and 8 hex digits; the target's name is its family's.
latest_promotion as (
    select promotions.candidate
    from promotions
    inner join models on models.contestant_id = promotions.candidate
    where
        promotions.decision = 'promoted'
        and promotions.round <= $round
        and models.family = left($target, greatest(length($target) - 9, 0))
    order by promotions.round desc, promotions.created_at desc, promotions.candidate
    limit 1
)

select
    stages.stage,
    coalesce(promotions.champion, training_runs.parent, latest_promotion.candidate, $target) as champion
from stages
left join promotions on promotions.round = $round and promotions.stage = stages.stage
left join training_runs on training_runs.round = $round and training_runs.stage = stages.stage
left join latest_promotion on true
order by stages.stage;
