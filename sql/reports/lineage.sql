-- Purpose: where a model comes from: its parents, and the data each training learned from.
-- Grain: generation (0 is the model itself, 1 its parent...).
-- Inputs: models, training_runs.
-- Parameters: $model (contestant id).
-- Method: follows the parents as registered. The trainings of one candidate are one run; null where the model was not trained here.
with recursive ancestors as (
    select
        0 as generation,
        contestant_id,
        parent
    from models
    where contestant_id = $model
    union all
    select
        ancestors.generation + 1 as generation,
        models.contestant_id,
        models.parent
    from ancestors
    inner join models on models.contestant_id = ancestors.parent
    where ancestors.generation < 1000 -- a wrong row that is its own ancestor must not go on for ever
)

select
    ancestors.generation,
    ancestors.contestant_id,
    models.name,
    models.role,
    models.checkpoint,
    training_runs.round,
    training_runs.stage,
    training_runs.run_id,
    training_runs.examples,
    training_runs.data_version,
    training_runs.data_hash,
    training_runs.release_id,
    training_runs.config_hash,
    training_runs.seed
from ancestors
inner join models on models.contestant_id = ancestors.contestant_id
left join training_runs on training_runs.candidate = ancestors.contestant_id
order by ancestors.generation, training_runs.run_id;
