-- Purpose: how often each model beat each other one in every resample of the battles.
-- Grain: scope, resample (from 1), model_a, model_b; model_a sorts before model_b.
-- Inputs: scoped_battles; pair_counts, the rows of ratings/pair_counts; clusters and resample_weights, the rows of
--   resampling/clusters and resampling/weights.
-- Parameters: none.
-- Method: as in ratings/pair_counts; a resample counts every battle as often as it drew the battle's cluster. Pairs that did
--   not meet in a resample have no row there.
-- Source: resampling as in resampling/clusters.
with pairs as (
    select
        (row_number() over (order by scope, model_a, model_b))::integer as pair,
        scope,
        model_a,
        model_b
    from pair_counts
    where resample = 0
),

-- Pairs and clusters are integers here, because the next step joins to battles x resamples rows.
cells as (
    select
        pair,
        cluster,
        sum(if(exchanged, 1 - score, score)) as wins_a,
        count(*)::double as battles
    from (
        select pair, scope, model_a, model_b, false as exchanged from pairs
        union all
        select pair, scope, model_b, model_a, true from pairs
    )
    inner join scoped_battles using (scope, model_a, model_b)
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
    resample,
    model_a,
    model_b,
    round(wins_a, 9) as wins_a,
    round(battles - wins_a, 9) as wins_b
from resampled_counts
inner join pairs using (pair)
order by scope, resample, model_a, model_b;
