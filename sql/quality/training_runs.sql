-- Purpose: figures of a training run: every step finite, all of them there, on the examples that were selected.
-- Grain: subject: run_id.
-- Inputs: staged_training_runs (rows that wait for their audit), training_sets.
-- Parameters: none.
-- Method: stopped: a guard ended the run; the rest is about runs that were not. bad_steps: steps whose loss or gradient norm is infinite or
--   not a number. lost_steps: optimizer steps without an entry in the curve. lost_examples: selected examples that the run did not
--   see. top_grad_norm: the largest one. top_kl: nats per answer, where a trainer logs them. early_loss and late_loss: mean loss of the first and last quarter of the steps, from 8
--   steps up; reinforcement learning has no loss that must fall.
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
        count_if(not isfinite(step.loss) or not isfinite(step.grad_norm)) as bad_steps,
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
    (batch.status = 'stopped')::integer as stopped,
    case when batch.status = 'trained' then curves.bad_steps end as bad_steps,
    case when batch.status = 'trained' then abs(batch.steps - len(batch.curve)) end as lost_steps,
    case when batch.status = 'trained' then greatest(0, coalesce(selected.examples, 0) - batch.examples) end as lost_examples,
    curves.top_grad_norm,
    case when batch.status = 'trained' then list_max([each.value for each in batch.metrics if each.name = 'kl']) end as top_kl,
    case when batch.stage <> 'ppo' then curves.early_loss end as early_loss,
    case when batch.stage <> 'ppo' then curves.late_loss end as late_loss
from staged_training_runs as batch
left join curves on curves.run_id = batch.run_id
left join selected on selected.round = batch.round and selected.stage = batch.stage
order by subject;
