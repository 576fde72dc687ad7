-- Purpose: how often each model beat each other one, in the data and in every resample. All that Bradley-Terry needs.
-- Grain: scope, resample, model_a, model_b; model_a sorts before model_b. Resample 0 is the data.
-- Inputs: scoped_battles; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: none.
-- Method: a tie is half a win for each side (a soft score is shared likewise). A resample counts every battle as often as
--   it drew the battle's cluster. A model against itself says nothing about strength; pairs that did not meet in a resample have no row there.
-- Source: ties as in LMSYS' elo_analysis.py; resampling as in resampling/clusters.
with sides_in_order as (
    select
        scope,
        instruction_id,
        least(model_a, model_b) as model_a,
        greatest(model_a, model_b) as model_b,
        if(model_a < model_b, score, 1 - score) as score
    from scoped_battles
),

data_counts as (
    select
        scope,
        model_a,
        model_b,
        sum(score) as wins_a,
        count(*) as battles
    from sides_in_order
    group by all
    having model_a <> model_b
),

-- Integers, because the join below yields battles x resamples rows.
pairs as (
    select
        scope,
        model_a,
        model_b,
        (row_number() over (order by scope, model_a, model_b))::integer as pair
    from data_counts
),

cells as (
    select
        pair,
        cluster,
        sum(score) as wins_a,
        count(*)::double as battles
    from sides_in_order
    inner join pairs using (scope, model_a, model_b)
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
from data_counts
union all
select
    scope,
    resample,
    model_a,
    model_b,
    round(wins_a, 9),
    round(battles - wins_a, 9)
from resampled_counts
inner join pairs using (pair)
order by scope, resample, model_a, model_b;
