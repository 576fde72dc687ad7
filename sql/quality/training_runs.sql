-- Purpose: figures of a training run: every step finite, all of them there, on the examples that were selected.
-- Grain: subject: run_id.
-- Inputs: staged_training_runs (rows that wait for their audit), training_sets.
-- Parameters: none.
-- Method: bad_steps: steps whose loss or gradient norm is missing, infinite or not a number. lost_steps: optimizer steps without an entry
--   in the curve. lost_examples: selected examples that the run does not name, or the other way round. top_grad_norm: the largest one.
--   early_loss and late_loss: mean loss of the first and last quarter of the steps, from 8 steps up.
-- Source: none; bookkeeping.
with steps as (
    select
        run_id,
        unnest(curve) as step,
        len(curve) as n
    from staged_training_runs as batch
),

curves as (
    select
        run_id,
        count_if(
            coalesce(not isfinite(step.loss), true) or coalesce(not isfinite(step.grad_norm), true)
        ) as bad_steps,
        max(step.grad_norm) filter (where isfinite(step.grad_norm)) as top_grad_norm,
        avg(step.loss) filter (where n >= 8 and step.step <= n / 4) as early_loss,
        avg(step.loss) filter (where n >= 8 and step.step > n - n / 4) as late_loss
    from steps
    group by run_id
),

selected as (
    select
        round,
        stage,
        count(*) as examples
    from training_sets
    group by all
)

select
    batch.run_id as subject,
    coalesce(curves.bad_steps, 0) as bad_steps,
    abs(batch.steps - len(batch.curve)) as lost_steps,
    abs(batch.examples - coalesce(selected.examples, 0)) as lost_examples,
    curves.top_grad_norm,
    curves.early_loss,
    curves.late_loss
from staged_training_runs as batch
left join curves on curves.run_id = batch.run_id
left join selected on selected.round = batch.round and selected.stage = batch.stage
order by subject;
