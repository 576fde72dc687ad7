-- Purpose: how often each model of a scope beats each other one, with percentile intervals.
-- Grain: scope, model_a, model_b; every pair in both directions.
-- Inputs: scoped_battles; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: $round (label of the rows), $confidence (of the two-sided interval, 0.95 for 2.5 to 97.5 %).
-- Method: rate = mean score of model_a: (wins + ties / 2) / n where all scores are 1, 0.5 or 0. A soft score in [0, 1]
--   counts as a win above 0.5 and as a loss below; the rate takes it as it is. The interval is made of percentiles over
--   the resamples; those without a battle of the pair say nothing about it and are left out. A model against itself
--   is no pair.
-- Source: Arena Learning (arXiv 2407.10627); the mean of soft scores is AlpacaEval's win rate.
with battles_in_order as (
    select
        scope,
        instruction_id,
        least(model_a, model_b) as model_a,
        greatest(model_a, model_b) as model_b,
        -- Whole units of 1e-12: their sums are the same in every order of the rows, those of fractions are not.
        round(1e12 * if(model_a < model_b, score, 1 - score))::bigint as score
    from scoped_battles
    where model_a <> model_b
),

pairs as materialized (
    select
        (row_number() over (order by scope, model_a, model_b))::integer as pair,
        scope,
        model_a,
        model_b,
        count(*) filter (where score > 5e11) as wins,
        count(*) filter (where score = 5e11) as ties,
        count(*) filter (where score < 5e11) as losses,
        count(*) as n,
        sum(score) / 1e12 / count(*) as rate
    from battles_in_order
    group by scope, model_a, model_b
),

cells as (
    select
        pair,
        cluster,
        sum(score)::bigint as score,
        count(*)::double as battles
    from battles_in_order
    inner join pairs using (scope, model_a, model_b)
    inner join clusters using (scope, instruction_id)
    group by all
),

resampled_rates as (
    select
        pair,
        resample,
        sum(weight * score) / 1e12 / sum(weight * battles) as rate
    from cells
    inner join resample_weights using (cluster)
    group by all
),

intervals as (
    select
        pair,
        quantile_cont(rate, (1 - $confidence::double) / 2) as lower,
        quantile_cont(rate, (1 + $confidence::double) / 2) as upper
    from resampled_rates
    group by pair
),

both_directions as (
    select scope, model_a, model_b, wins, ties, losses, n, rate, lower, upper
    from pairs
    left join intervals using (pair)
    union all
    select scope, model_b, model_a, losses, ties, wins, n, 1 - rate, 1 - upper, 1 - lower
    from pairs
    left join intervals using (pair)
)

select
    $round::varchar as round,
    scope,
    'pairwise' as method,
    model_a,
    model_b,
    wins,
    ties,
    losses,
    n,
    rate,
    lower,
    upper
from both_directions
order by scope, model_a, model_b;
