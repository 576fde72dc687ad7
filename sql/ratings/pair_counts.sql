-- Purpose: how often each model beat each other one, in the data and in every resample. All that Bradley-Terry needs.
-- Grain: scope, resample, model_a, model_b; model_a sorts before model_b. Resample 0 is the data.
-- Inputs: scoped_battles; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: none.
-- Method: a tie is half a win for each side (a soft score is shared likewise). A resample counts every battle as often as
--   it drew the battle's cluster. A model against itself says nothing about strength; pairs that did not meet in a resample have no row there.
-- Source: ties as in LMSYS' elo_analysis.py; resampling as in resampling/clusters.
with directed_counts as materialized (
    select
        scope,
        model_a,
        model_b,
        sum(score) as wins_a,
        count(*) as battles
    from scoped_battles
    group by all
    having model_a <> model_b
),

-- Both directions share the number of their pair. Sides are exchanged here, on few rows, not on every battle; and the
-- numbers are integers, because a join below yields battles x resamples rows.
directed_pairs as materialized (
    select
        scope,
        model_a,
        model_b,
        model_a > model_b as exchanged,
        (dense_rank() over (order by scope, least(model_a, model_b), greatest(model_a, model_b)))::integer as pair,
        if(exchanged, battles - wins_a, wins_a) as wins_first,
        battles
    from directed_counts
),

pairs as (
    select
        pair,
        scope,
        min(least(model_a, model_b)) as model_a,
        max(greatest(model_a, model_b)) as model_b,
        sum(wins_first) as wins_a,
        sum(battles) as battles
    from directed_pairs
    group by pair, scope
),

cells as (
    select
        pair,
        cluster,
        sum(if(exchanged, 1 - score, score)) as wins_a,
        count(*)::double as battles
    from scoped_battles
    inner join directed_pairs using (scope, model_a, model_b)
    inner join clusters using (scope, instruction_id)
    group by all
),

resampled_counts as (
    select
        resample,
        pair,
        sum(weight * wins_a) as wins_a,
        sum(weight * battles) as battles
    from cells
    inner join resample_weights using (cluster)
    group by all
)

select
    scope,
    0 as resample,
    model_a,
    model_b,
    round(wins_a, 9) as wins_a,
    round(battles - wins_a, 9) as wins_b
from pairs
union all
select
    scope,
    resample,
    model_a,
    model_b,
    round(resampled_counts.wins_a, 9),
    round(resampled_counts.battles - resampled_counts.wins_a, 9)
from resampled_counts
inner join pairs using (pair)
order by scope, resample, model_a, model_b;
