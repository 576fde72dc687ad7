-- Purpose: Bradley-Terry ratings of every model of every scope, with percentile intervals of rating and rank.
-- Grain: scope, model.
-- Inputs: resampled_ratings and pair_counts, the rows of ratings/bradley_terry_resamples and ratings/pair_counts.
-- Parameters: $round (label of the rows), $confidence (of the two-sided intervals, 0.95 for 2.5 to 97.5 %), $anchor (a
--   model, or null) and $anchor_rating (what it shall be rated).
-- Method: rating and strength come from the data as they are (resample 0), the intervals from the percentiles of the
--   resamples in which the model fought. converged holds only if all of these fits did.
--   The anchor moves the scale of its component after the fits: anchoring inside each resample would give the anchor an
--   interval of width zero and widen everybody else's. Where the anchor did not fight, the mean stays where it is.
--   Ranks compare the models of one component; ratings that agree to 6 decimals share the smaller rank.
--   flag: 'undefeated' (never lost or tied) and 'winless' (never won or tied) models have no finite rating of their own
--   and hang on the prior games; 'separated': likewise, because one group of models won every battle against another.
-- Source: Arena Learning (arXiv 2407.10627) (bootstrap, 2.5 to 97.5 percentiles).
with anchors as (
    select
        scope,
        component,
        $anchor_rating::double - rating as shift
    from resampled_ratings
    where resample = 0 and model = $anchor::varchar
),

ranked_ratings as (
    select
        *,
        rank() over (partition by scope, component, resample order by round(rating, 6) desc) as rank
    from resampled_ratings
),

intervals as (
    select
        scope,
        model,
        quantile_cont(rating, (1 - $confidence::double) / 2) filter (where resample > 0 and converged) as lower,
        quantile_cont(rating, (1 + $confidence::double) / 2) filter (where resample > 0 and converged) as upper,
        quantile_disc(rank, (1 - $confidence::double) / 2) filter (where resample > 0 and converged) as rank_lower,
        quantile_disc(rank, (1 + $confidence::double) / 2) filter (where resample > 0 and converged) as rank_upper,
        bool_and(converged) as converged
    from ranked_ratings
    group by scope, model
),

results as (
    select
        scope,
        unnest([model_a, model_b]) as model,
        unnest([wins_a, wins_b]) as wins,
        unnest([wins_b, wins_a]) as losses
    from pair_counts
),

records as (
    select
        scope,
        model,
        sum(wins) = 0 as winless,
        sum(losses) = 0 as undefeated
    from results
    group by scope, model
)

select
    $round::varchar as round,
    scope,
    model,
    'bradley_terry' as method,
    rating + coalesce(shift, 0) as rating,
    log_strength,
    lower + coalesce(shift, 0) as lower,
    upper + coalesce(shift, 0) as upper,
    rank::integer as rank,
    rank_lower::integer as rank_lower,
    rank_upper::integer as rank_upper,
    n,
    intervals.converged,
    component,
    case when undefeated then 'undefeated' when winless then 'winless' when not finite then 'separated' end as flag
from ranked_ratings
inner join intervals using (scope, model)
inner join records using (scope, model)
left join anchors using (scope, component)
where resample = 0
order by scope, component, rank, model;
