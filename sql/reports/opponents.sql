-- Purpose: how a model does against each of its opponents on the test set.
-- Grain: model_b (the opponent), best rate first.
-- Inputs: win_rates.
-- Parameters: $model (contestant id).
-- Method: the published pairwise rates after the newest round.
with newest as (
    select *
    from win_rates
    where scope = 'wizard_arena' and method = 'pairwise'
    qualify round = max(round) over ()
)

select
    model_b,
    wins,
    ties,
    losses,
    rate,
    lower,
    upper
from newest
where model_a = $model
order by rate desc, model_b;
