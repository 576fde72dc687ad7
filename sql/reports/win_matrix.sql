-- Purpose: the win rates of every pair on the test set after a round.
-- Grain: model_a, model_b; every pair in both directions.
-- Inputs: win_rates.
-- Parameters: $round.
-- Method: the published rates of the scope wizard_arena.
select
    model_a,
    model_b,
    wins,
    ties,
    losses,
    rate,
    lower,
    upper
from win_rates
where round = $round and scope = 'wizard_arena' and method = 'pairwise'
order by model_a, model_b;
