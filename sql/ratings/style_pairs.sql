-- Purpose: numbers for the pairs of models that met, so that statements over every battle join integers.
-- Grain: scope, model_a, model_b; model_a sorts before model_b.
-- Inputs: scoped_battles.
-- Parameters: none.
-- Method: numbers follow the order of scopes and models.
with pairs as (
    select distinct
        scope,
        least(model_a, model_b) as model_a,
        greatest(model_a, model_b) as model_b
    from scoped_battles
)

select
    (row_number() over (order by scope, model_a, model_b))::integer as pair,
    scope,
    model_a,
    model_b
from pairs
order by pair;
