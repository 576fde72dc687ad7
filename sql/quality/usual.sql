-- Purpose: the figures of a batch beside what they usually are.
-- Grain: subject, measure.
-- Inputs: figures (subject and one column per measure), measures, releases, seeds (measure, usual, spread: as configured).
-- Parameters: $table, $round, $stage, $arena (of the batch), $rounds (how many released rounds count).
-- Method: usual is the median of the last $rounds released rounds before this one, spread 1.4826 times their median absolute
--   deviation (the standard deviation of a normal sample), never below a twentieth of the usual value nor 0.02: rounds that
--   were all alike bound nothing. Of several audits of a round the last counts. Fewer than three rounds: what the seeds say.
-- Source: the median absolute deviation as a robust scale: Hampel 1974, The Influence Curve and Its Role in Robust Estimation.
with current_figures as (
    select
        subject,
        measure,
        value
    from (unpivot (select subject, columns(* exclude (subject))::double from figures) on * exclude (subject) into name measure value value)
    where isfinite(value)
),

past as (
    select
        subject,
        measure,
        round,
        arg_max(value, created_at) as value
    from measures
    where
        "table" = $table
        and round < $round::varchar
        and stage is not distinct from $stage::varchar
        and arena is not distinct from $arena::varchar
        and round in (select releases.round from releases)
    group by subject, measure, round
),

last_rounds as (
    select *
    from past
    qualify row_number() over (partition by subject, measure order by round desc) <= $rounds
),

history as (
    select
        subject,
        measure,
        median(value) as usual,
        greatest(1.4826 * mad(value), 0.05 * abs(median(value)), 0.02) as spread
    from last_rounds
    group by subject, measure
    having count(*) >= 3
)

select
    current_figures.subject,
    current_figures.measure,
    current_figures.value,
    coalesce(history.usual, seeds.usual) as usual,
    coalesce(history.spread, seeds.spread) as spread
from current_figures
left join history on history.subject = current_figures.subject and history.measure = current_figures.measure
left join seeds on seeds.measure = current_figures.measure
order by current_figures.subject, current_figures.measure;
