-- Purpose: which models can be compared at all: those that a chain of battles links.
-- Grain: scope, model.
-- Inputs: pair_counts, the rows of ratings/pair_counts.
-- Parameters: none.
-- Method: every component of the graph of battles has its own scale. Components are numbered by size, 1 is the largest;
--   position numbers the models of a component in the order of their names.
-- Source: Ford, American Mathematical Monthly 64 (1957).
with recursive sides as (
    select scope, model_a as model, model_b as opponent, round(wins_a + wins_b) as battles from pair_counts
    union all
    select scope, model_b, model_a, round(wins_a + wins_b) from pair_counts
),

models as (
    select
        scope,
        model,
        sum(battles)::bigint as n
    from sides
    group by all
),

-- Each model takes over the smallest name among those it is linked to.
labels (scope, model, label) using key (scope, model) as (
    select
        scope,
        model,
        least(model, min(opponent)) as label
    from sides
    group by scope, model
    union
    select
        sides.scope,
        sides.opponent,
        min(labels.label)
    from labels
    inner join sides using (scope, model)
    inner join recurring.labels as known on known.scope = sides.scope and known.model = sides.opponent
    where labels.label < known.label
    group by all
),

members as (
    select
        scope,
        model,
        n,
        dense_rank() over (partition by scope order by size desc, label)::integer as component
    from (select *, count(*) over (partition by scope, label) as size from labels)
    inner join models using (scope, model)
)

select
    scope,
    model,
    n,
    component,
    (row_number() over (partition by scope, component order by model))::integer as position
from members
order by scope, model;
