-- Purpose: what the pairs of every component won, in the data and in every resample of them.
-- Grain: scope, component, resample. Resample 0 is the data.
-- Inputs: scoped_battles; pair_counts and components, the rows of ratings/pair_counts and ratings/components; clusters and
--   resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: none.
-- Method: wins_a and wins_b have one number for every pair of the component, in the order of (model_a, model_b). A resample
--   counts every battle as often as it drew the battle's cluster: a pair that did not meet in it has 0 and 0.
-- Source: resampling as in resampling/clusters.
with pairs as (
    select
        (row_number() over (order by scope, component, model_a, model_b))::integer as pair,
        scope,
        component,
        model_a,
        model_b,
        wins_a,
        wins_b
    from pair_counts
    inner join (select scope, component, model as model_a from components) using (scope, model_a)
),

-- Numbers stand for pairs, clusters and their battles, because the next step has pairs x resamples rows.
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

battles as (
    select
        pair,
        list(cluster) as clusters,
        list(wins_a) as wins_a,
        list(battles) as battles
    from cells
    group by pair
),

-- One list per resample: how often it drew cluster 1, 2, ...
draws as (
    select
        resample,
        list(coalesce(weight, 0)::double order by cluster) as weights
    from (select distinct cluster from clusters)
    cross join (select distinct resample from resample_weights)
    left join resample_weights using (resample, cluster)
    group by resample
),

resampled as (
    select
        resample,
        pair,
        round(list_dot_product(drawn, wins_a), 9) as wins_a,
        list_dot_product(drawn, battles) as battles
    from (
        select
            resample,
            pair,
            wins_a,
            battles,
            list_select(weights, clusters) as drawn
        from battles
        cross join draws
    )
)

select
    scope,
    component,
    0::bigint as resample,
    list(wins_a order by pair) as wins_a,
    list(wins_b order by pair) as wins_b
from pairs
group by all
union all
select
    scope,
    component,
    resample,
    list(resampled.wins_a order by pair) as wins_a,
    list(round(battles - resampled.wins_a, 9) order by pair) as wins_b
from resampled
inner join pairs using (pair)
group by all
order by scope, component, resample;
