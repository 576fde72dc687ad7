-- Purpose: how often each model of a scope beats an opponent drawn from those that it met, with percentile intervals.
-- Grain: scope, model_a; model_b is '(all)'.
-- Inputs: scoped_battles; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: $round (label of the rows), $confidence (of the two-sided interval, 0.95 for 2.5 to 97.5 %).
-- Method: rate = mean of the model's rates in win_rates/pairwise: every opponent counts once, however often they met.
--   wins, ties, losses and n are those of all its battles, so the rate is not their quotient. A resample averages over
--   the opponents that the model met in it. Rates of models with different opponents do not compare; ratings do.
-- Source: evalica's average_win_rate.
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

sides as (
    select pair, scope, model_a as model, true as is_first, wins, ties, losses, n, rate from pairs
    union all
    select pair, scope, model_b, false, losses, ties, wins, n, 1 - rate from pairs
),

models as (
    select
        scope,
        model,
        sum(wins)::bigint as wins,
        sum(ties)::bigint as ties,
        sum(losses)::bigint as losses,
        sum(n)::bigint as n,
        avg(rate order by pair) as rate
    from sides
    group by scope, model
),

resampled_averages as (
    select
        scope,
        model,
        resample,
        avg(if(is_first, resampled_rates.rate, 1 - resampled_rates.rate) order by pair) as rate
    from resampled_rates
    inner join sides using (pair)
    group by all
),

intervals as (
    select
        scope,
        model,
        quantile_cont(rate, (1 - $confidence::double) / 2) as lower,
        quantile_cont(rate, (1 + $confidence::double) / 2) as upper
    from resampled_averages
    group by scope, model
)

select
    $round::varchar as round,
    scope,
    'average' as method,
    model as model_a,
    '(all)' as model_b,
    wins,
    ties,
    losses,
    n,
    rate,
    lower,
    upper
from models
left join intervals using (scope, model)
order by scope, model_a;
