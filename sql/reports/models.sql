-- Purpose: everything that ever fought, with its newest rating.
-- Grain: contestant_id, best rating first.
-- Inputs: models, ratings, promotions.
-- Parameters: none.
-- Method: the Bradley-Terry rating of the test set after the newest round. Models that are rated but not registered (of recorded battles)
--   go by their id. decision is what the model's own stage decided about it.
with boards as (
    select *
    from ratings
    where scope = 'wizard_arena' and method = 'bradley_terry'
    qualify round = max(round) over ()
),

known as (
    select contestant_id from models
    union
    select model as contestant_id from boards
),

decisions as (
    select
        candidate,
        arg_max(decision, created_at) as decision
    from promotions
    where candidate is not null
    group by candidate
)

select
    known.contestant_id,
    coalesce(models.name, known.contestant_id) as name,
    models.role,
    models.round,
    models.backend,
    models.checkpoint,
    models.revision,
    models.system_prompt,
    models.sampling,
    models.parent,
    decisions.decision,
    boards.round as rated_after,
    boards.rating,
    boards.lower,
    boards.upper,
    boards.rank,
    boards.n,
    boards.flag
from known
left join models on models.contestant_id = known.contestant_id
left join boards on boards.model = known.contestant_id
left join decisions on decisions.candidate = known.contestant_id
order by boards.component nulls last, boards.rank nulls last, known.contestant_id;
