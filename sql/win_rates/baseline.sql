-- Purpose: the models of a round against one baseline, best first: the raw win rate and the length-controlled one.
-- Grain: scope, method, model_a (model_b is the baseline).
-- Inputs: win_rates.
-- Parameters: $round, $baseline (a model).
-- Method: the published rows with that opponent. Any model can be the baseline of the raw rates; length-controlled ones
--   are published for the configured baseline only.
-- Source: AlpacaEval's leaderboard: its win rate is 100 x rate.
select
    round,
    scope,
    method,
    model_a,
    model_b,
    wins,
    ties,
    losses,
    n,
    rate,
    lower,
    upper
from win_rates
where round = $round and model_b = $baseline
order by scope, method desc, rate desc, model_a;
