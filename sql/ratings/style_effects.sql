-- Purpose: what style is worth to the judges of a scope: the coefficients that ratings/style_controlled takes out.
-- Grain: scope, feature (length, headers, bold, lists).
-- Inputs: style_estimates, the rows of ratings/style_estimates.
-- Parameters: $confidence (of the two-sided interval), $scale, $base.
-- Method: coefficients are in units of log strength per standard deviation of the feature's difference; points is the same in
--   rating points: how much better a model does that is one standard deviation ahead in the feature. Percentile intervals
--   over the resamples. Null where no two answers of the scope differ in the feature.
-- Source: LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/).
select
    scope,
    feature,
    any_value(estimate) filter (where resample = 0) as coefficient,
    quantile_cont(estimate, (1 - $confidence::double) / 2) filter (where resample > 0) as lower,
    quantile_cont(estimate, (1 + $confidence::double) / 2) filter (where resample > 0) as upper,
    $scale::double / ln($base::double) * coefficient as points
from style_estimates
where feature is not null
group by scope, feature
order by scope, feature;
