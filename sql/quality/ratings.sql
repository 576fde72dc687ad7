-- Purpose: figures of a batch of ratings: all models on one connected board, in order, with intervals as wide as usual.
-- Grain: subject: scope and method, as wizard_arena bradley_terry.
-- Inputs: staged_ratings (rows that wait for their audit), battles.
-- Parameters: $round.
-- Method: missing_models: models with a usable battle in the arena up to the round that have no rating; overall boards only.
--   components: groups of models that no battle links. disorder: pairs of models of one group whose ranks contradict their ratings.
--   median_width: of the intervals, rating points. flagged_share: models whose rating hangs on the prior games.
-- Source: none; bookkeeping.
with boards as (
    select
        scope,
        method,
        scope || ' ' || method as subject,
        count(*) as rows,
        max(component) as components,
        median(upper - lower) as median_width,
        avg((flag is not null)::integer) as flagged_share
    from staged_ratings as batch
    group by all
),

fighters as (
    select distinct
        arena,
        unnest([model_a, model_b]) as model
    from battles
    where winner <> 'unusable' and round <= $round
),

missing as (
    select
        boards.subject,
        count(*) as missing_models
    from boards
    inner join fighters on fighters.arena = boards.scope
    anti join staged_ratings as batch
        on batch.scope = boards.scope and batch.method = boards.method and batch.model = fighters.model
    where boards.method <> 'style_controlled'
    group by boards.subject
),

disorder as (
    select
        better.scope || ' ' || better.method as subject,
        count(*) as disorder
    from staged_ratings as better
    inner join staged_ratings as worse
        on worse.scope = better.scope
        and worse.method = better.method
        and worse.component is not distinct from better.component
        and worse.rating < better.rating - 1e-6
        and worse.rank < better.rank
    group by all
)

select
    boards.subject,
    boards.rows,
    coalesce(missing.missing_models, 0) as missing_models,
    boards.components,
    coalesce(disorder.disorder, 0) as disorder,
    boards.median_width,
    boards.flagged_share
from boards
left join missing on missing.subject = boards.subject
left join disorder on disorder.subject = boards.subject
order by boards.subject;
