-- Purpose: how often each model of a scope beats each other one, with percentile intervals.
-- Grain: model_a, model_b; every pair in both directions.
-- Inputs: battles.
-- Parameters: $round (last round that counts), $scope (arena), $resamples, $seed, $confidence.
-- Method: rate = (wins + ties / 2) / battles. The interval is made of percentiles over resamples of whole instructions,
--   drawn as in ratings/bradley_terry_resamples (the same seed draws the same instructions). Resamples without a battle
--   of the pair say nothing about it and are left out.
-- Source: Arena Learning (arXiv 2407.10627).
with usable_battles as materialized (
    select
        instruction_id,
        model_a,
        model_b,
        winner
    from battles
    where arena = $scope and round <= $round and winner in ('model_a', 'model_b', 'tie')
),

sides as (
    select
        instruction_id,
        model_a,
        model_b,
        winner = 'model_a' as won,
        winner = 'tie' as tied
    from usable_battles
    union all
    select
        instruction_id,
        model_b,
        model_a,
        winner = 'model_b',
        winner = 'tie'
    from usable_battles
),

instruction_counts as (
    select
        instruction_id,
        model_a,
        model_b,
        count(*) filter (where won) as wins,
        count(*) filter (where tied) as ties,
        count(*) as battles
    from sides
    group by all
),

instructions_in_order as (
    select
        instruction_id,
        row_number() over (order by instruction_id) - 1 as position
    from (select distinct instruction_id from usable_battles)
),

draws as (
    select
        resample,
        md5_number_lower(concat_ws('|', $seed::bigint, resample, draw)) % (
            select count(*) from instructions_in_order
        ) as position
    from range(1, $resamples::bigint + 1) as resamples (resample)
    cross join range((select count(*) from instructions_in_order)) as drawn (draw)
),

weights as (
    select resample, position, count(*) as weight from draws group by all
    union all
    select 0, position, 1 from instructions_in_order
),

counts as (
    select
        resample,
        model_a,
        model_b,
        sum(weight * wins)::bigint as wins,
        sum(weight * ties)::bigint as ties,
        sum(weight * battles)::bigint as battles
    from weights
    inner join instructions_in_order using (position)
    inner join instruction_counts using (instruction_id)
    group by all
),

rates as (
    select
        *,
        (wins + ties / 2) / battles as rate
    from counts
),

intervals as (
    select
        model_a,
        model_b,
        quantile_cont(rate, (1 - $confidence::double) / 2) as lower,
        quantile_cont(rate, (1 + $confidence::double) / 2) as upper
    from rates
    where resample > 0
    group by all
)

select
    $round::varchar as round,
    $scope::varchar as scope,
    model_a,
    model_b,
    wins,
    ties,
    battles - wins - ties as losses,
    rate,
    lower,
    upper
from rates
left join intervals using (model_a, model_b)
where resample = 0
order by model_a, model_b;
