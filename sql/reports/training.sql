-- Purpose: what a round trained, from which parent, on how much, and how the loss went.
-- Grain: run_id.
-- Inputs: training_runs.
-- Parameters: $round.
-- Method: the rows of the round; first_loss is the first step's, last_loss the mean of the last quarter of the steps.
select
    round,
    stage,
    run_id,
    parent,
    candidate,
    status,
    reason,
    examples,
    steps,
    effective_batch_size,
    first_loss,
    last_loss,
    seconds,
    checkpoint,
    data_version,
    data_hash,
    release_id,
    curve
from training_runs
where round = $round
order by list_position(['sft', 'dpo', 'rm', 'ppo'], stage), run_id;
