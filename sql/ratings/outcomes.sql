-- Purpose: what the pairs of every component won, in the data and in every resample of them.
-- Grain: scope, component, resample. Resample 0 is the data.
-- Inputs: scoped_battles; pair_counts and components, the rows of ratings/pair_counts and ratings/components; clusters and
--   resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: none.
-- Method: wins_a and wins_b have one number for every pair of the component, in the order of (model_a, model_b). A resample
--   counts every battle as often as it drew the battle's cluster: a pair that did not meet in it has 0 and 0.
--   Looking up how often a cluster was drawn costs the most, once per cell and resample. Half wins are whole numbers, so
--   several resamples share a double, a few bits each, and are looked up and summed together: it is exact up to 2^52. With
--   other scores every resample has a double of its own.
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
        list(2 * wins_a) as halves_a,
        list(2 * (battles - wins_a)) as halves_b,
        bool_and(2 * wins_a = floor(2 * wins_a)) as whole
    from cells
    group by pair
),

-- How many resamples share a number, and how many bits each has: more than a pair's half wins in any of them need.
packing as (
    select
        bits,
        if(whole, greatest(52 // bits, 1), 1) as slots
    from (
        select
            bool_and(whole) as whole,
            ceil(log2(
                1 + max(list_sum(halves_a) + list_sum(halves_b)) * (select max(weight) from resample_weights)
            ))::integer as bits
        from battles
    )
),

packed_weights as (
    select
        (resample - 1) // slots as bundle,
        cluster,
        sum(weight * pow(2, bits * ((resample - 1) % slots))) as weight
    from resample_weights
    cross join packing
    group by all
),

-- One list per bundle of resamples: how often they drew cluster 1, 2, ...
draws as (
    select
        bundle,
        list(coalesce(weight, 0)::double order by cluster) as weights
    from (select distinct cluster from clusters)
    cross join (select distinct bundle from packed_weights)
    left join packed_weights using (bundle, cluster)
    group by bundle
),

bundles as (
    select
        pair,
        bundle,
        list_dot_product(drawn, halves_a) as halves_a,
        list_dot_product(drawn, halves_b) as halves_b
    from (
        select
            pair,
            bundle,
            halves_a,
            halves_b,
            list_select(weights, clusters) as drawn
        from battles
        cross join draws
    )
),

bundles_of_components as (
    select
        scope,
        component,
        bundle,
        list(halves_a order by pair) as halves_a,
        list(halves_b order by pair) as halves_b
    from bundles
    inner join pairs using (pair)
    group by scope, component, bundle
),

digits as (
    select
        slots,
        slot,
        (bits * slot)::bigint as shift,
        (1::bigint << bits) - 1 as mask
    from packing
    cross join lateral (select unnest(range(slots)) as slot)
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
    bundle * slots + slot + 1 as resample,
    list_transform(
        halves_a, lambda packed: if(slots = 1, round(packed / 2, 9), (packed::bigint >> shift & mask) * 0.5::double)
    ) as wins_a,
    list_transform(
        halves_b, lambda packed: if(slots = 1, round(packed / 2, 9), (packed::bigint >> shift & mask) * 0.5::double)
    ) as wins_b
from bundles_of_components
cross join digits
where bundle * slots + slot < (select max(resample) from resample_weights)
order by scope, component, resample;
