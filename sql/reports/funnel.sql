-- Purpose: how many fresh instructions of a stage become training examples, and where the others are lost.
-- Grain: one row, or none if the stage has drawn nothing.
-- Inputs: slices, responses, battles, training_sets, training_runs.
-- Parameters: $round, $stage, $target (contestant id of the champion that opened the stage), $margin (threshold K, score points;
--   null where the strategy has none).
-- Method: drawn and answered count instructions; answered are those with a text from every contestant of the stage, in
--   equally many turns. The next counts are battles of the training arena; target_usable and target_lost are those of
--   the target, target_lost_clearly those it lost by at least $margin, and decided_clearly those that anybody won by as
--   much. Selected counts examples. Null means that the stage has not come that far, or has no $margin.
with drawn as (
    select instruction_id
    from slices
    where round = $round and stage = $stage
),

answers as (
    select
        instruction_id,
        contestant_id,
        count(text) as texts
    from responses
    where round = $round and stage = $stage and arena = 'training'
    group by all
),

answered as (
    select instruction_id
    from answers
    where instruction_id in (select instruction_id from drawn)
    group by instruction_id
    having count(*) = (select count(distinct contestant_id) from answers) and min(texts) = max(texts) and min(texts) > 0
),

stage_battles as (
    select
        count(*) as battles,
        count(*) filter (where winner <> 'unusable') as usable,
        count(*) filter (where winner <> 'unusable' and $target in (model_a, model_b)) as target_usable,
        count(*) filter (
            where (model_a = $target and winner = 'model_b') or (model_b = $target and winner = 'model_a')
        ) as target_lost,
        count(*) filter (
            where
            margin >= $margin::double
            and ((model_a = $target and winner = 'model_b') or (model_b = $target and winner = 'model_a'))
        ) as target_lost_clearly,
        count(*) filter (where margin >= $margin::double and winner in ('model_a', 'model_b')) as decided_clearly
    from battles
    where round = $round and stage = $stage and arena = 'training'
),

examples as (
    select count(*) as examples from training_sets where round = $round and stage = $stage
),

runs as (
    select count(*) as runs from training_runs where round = $round and stage = $stage
)

select
    (select count(*) from drawn) as drawn,
    case when exists (from answers) then (select count(*) from answered) end as answered,
    case when battles > 0 then battles end as battles,
    case when battles > 0 then usable end as usable,
    case when battles > 0 then target_usable end as target_usable,
    case when battles > 0 then target_lost end as target_lost,
    case when battles > 0 and $margin::double is not null then target_lost_clearly end as target_lost_clearly,
    case when battles > 0 and $margin::double is not null then decided_clearly end as decided_clearly,
    -- No example and no training run yet: the selection may still come.
    case when examples > 0 or runs > 0 then examples end as selected
from stage_battles, examples, runs
where exists (from drawn);
