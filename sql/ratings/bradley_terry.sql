-- Purpose: Bradley-Terry ratings of every model of a scope, with percentile intervals.
-- Grain: model.
-- Inputs: resampled_ratings, the rows of ratings/bradley_terry_resamples for the same round and scope.
-- Parameters: $round, $scope (labels of the rows), $confidence (of the two-sided interval, 0.95 for 2.5 to 97.5 %).
-- Method: rating and strength come from the data as they are (resample 0), the interval from the percentiles of the
--   resamples in which the model fought and whose maximum is finite. converged holds only if all of these fits did.
--   Ratings that agree to 6 decimals share the smaller rank. Without a finite maximum the rating is null: give
--   ratings.prior_games a value above 0.
-- Source: Arena Learning (arXiv 2407.10627) (bootstrap, 2.5 to 97.5 percentiles).
with intervals as (
    select
        model,
        quantile_cont(rating, (1 - $confidence::double) / 2) filter (where resample > 0) as lower,
        quantile_cont(rating, (1 + $confidence::double) / 2) filter (where resample > 0) as upper,
        bool_and(converged) as converged
    from resampled_ratings
    group by model
)

select
    $round::varchar as round,
    $scope::varchar as scope,
    model,
    'bradley_terry' as method,
    rating,
    log_strength,
    lower,
    upper,
    rank() over (order by round(rating, 6) desc nulls last)::integer as rank,
    n,
    intervals.converged
from resampled_ratings
inner join intervals using (model)
where resample = 0
order by rank, model;
