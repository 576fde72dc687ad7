-- Purpose: how much better one model is rated than another, with a percentile interval: the promotion test.
-- Grain: one row.
-- Inputs: resampled_ratings, the rows of ratings/bradley_terry_resamples.
-- Parameters: $scope, $candidate, $champion (contestant ids), $confidence (of the two-sided interval).
-- Method: candidate's rating minus champion's within each resample. Both met the same instructions, so the difference
--   varies less than two separate intervals suggest. Nulls where no chain of battles links the two; `resamples` counts
--   those in which both have a rating.
-- Source: paired percentile bootstrap, Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
with differences as (
    select
        resample,
        candidate.rating - champion.rating as difference
    from resampled_ratings as candidate
    inner join resampled_ratings as champion using (scope, resample, component)
    where scope = $scope and candidate.model = $candidate and champion.model = $champion and candidate.converged
)

select
    any_value(difference) filter (where resample = 0) as difference,
    quantile_cont(difference, (1 - $confidence::double) / 2) filter (where resample > 0) as lower,
    quantile_cont(difference, (1 + $confidence::double) / 2) filter (where resample > 0) as upper,
    count(difference) filter (where resample > 0) as resamples
from differences;
