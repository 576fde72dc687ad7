-- Purpose: the longest run of battles won, and lost, by every model.
-- Grain: model, result (win, loss).
-- Inputs: battles.
-- Variables: target (contestant id; default: all models).
-- Method: usable battles in the order of online Elo: round, stage (sft, dpo, ppo), training before the test set,
--   instruction, turn, pair, judge. A tie ends both runs; of equally long ones the first is shown.
with sides as (
    select
        *,
        unnest([model_a, model_b]) as model,
        unnest(
            case winner when 'model_a' then ['win', 'loss'] when 'model_b' then ['loss', 'win'] else ['tie', 'tie'] end
        ) as result
    from battles
    where winner in ('model_a', 'model_b', 'tie')
),

ordered_sides as (
    select
        model,
        result,
        round,
        row_number() over (
            partition by model
            order by
                round, list_position(['sft', 'dpo', 'ppo'], stage), arena, instruction_id, turn, model_a, model_b, judge_id
        ) as position
    from sides
    where model = coalesce(getvariable('target')::varchar, model)
),

-- Inside a run, the position and the count of equal results grow together.
numbered_sides as (
    select
        *,
        position - row_number() over (partition by model, result order by position) as run
    from ordered_sides
),

runs as (
    select
        model,
        result,
        count(*) as length,
        min(position) as first_position,
        min(round) as first_round,
        max(round) as last_round
    from numbered_sides
    where result in ('win', 'loss')
    group by model, result, run
)

select
    model,
    result,
    length,
    first_round,
    last_round
from runs
qualify row_number() over (partition by model, result order by length desc, first_position) = 1
order by result desc, length desc, model;
