-- Purpose: Bradley-Terry ratings with the style of the answers held equal, with percentile intervals of rating and rank.
-- Grain: scope, model.
-- Inputs: style_estimates, the rows of ratings/style_estimates.
-- Parameters: $round (label of the rows), $confidence (of the two-sided intervals, 0.95 for 2.5 to 97.5 %), $scale, $base,
--   $initial, $anchor (a model, or null) and $anchor_rating (what it shall be rated).
-- Method: strength and rating come from the data as they are (resample 0), the intervals from the percentiles of the
--   resamples. Anchor, ranks and flags as in ratings/bradley_terry. n counts the battles whose style is known: no others
--   take part, and a scope without any has no rows.
-- Source: LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/).
with rated_models as (
    select
        *,
        $initial::double + $scale::double / ln($base::double) * estimate as rating,
        rank() over (partition by scope, component, resample order by round(rating, 6) desc) as rank
    from style_estimates
    where model is not null
),

anchors as (
    select
        scope,
        component,
        $anchor_rating::double - rating as shift
    from rated_models
    where resample = 0 and model = $anchor::varchar
),

intervals as (
    select
        scope,
        model,
        quantile_cont(rating, (1 - $confidence::double) / 2) as lower,
        quantile_cont(rating, (1 + $confidence::double) / 2) as upper,
        quantile_disc(rank, (1 - $confidence::double) / 2) as rank_lower,
        quantile_disc(rank, (1 + $confidence::double) / 2) as rank_upper
    from rated_models
    where resample > 0
    group by scope, model
)

select
    $round::varchar as round,
    scope,
    model,
    'style_controlled' as method,
    rating + coalesce(shift, 0) as rating,
    estimate as log_strength,
    lower + coalesce(shift, 0) as lower,
    upper + coalesce(shift, 0) as upper,
    rank::integer as rank,
    rank_lower::integer as rank_lower,
    rank_upper::integer as rank_upper,
    n,
    converged,
    component,
    flag
from rated_models
left join intervals using (scope, model)
left join anchors using (scope, component)
where resample = 0
order by scope, component, rank, model;
