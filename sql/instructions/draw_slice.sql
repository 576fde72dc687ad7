-- Purpose: draw the fresh training instructions that a stage fights on.
-- Grain:   one row per drawn instruction of one (round, stage).
-- Inputs:  described, slices (all earlier draws), near_duplicates, contamination, wizard_arena (members of every version),
--          source_weights (source, weight), category_weights (category, weight); one that is not listed has weight 1.
-- Params:  $round, $stage, $size (rows wanted), $slices (null, or how many equal slices all draws together make), $seed.
-- Method:  Never drawn: what any other round or stage drew, what is nearly the same as another, what a test set has, a member
--          of a WizardArena set, and what has weight 0.
--          Rolling ($slices null): a weighted draw without replacement, stratified by cluster. In a cluster instructions are
--          ordered by -ln(u) / weight, u uniform (Efraimidis and Spirakis 2006); over the clusters the next one comes from
--          that with the smallest (place - v) / weight of the cluster, v uniform per cluster. So a cluster gets its share
--          of the slice rounded up or down, its expectation is exactly that share, and a cluster that runs out leaves its
--          places to the others. Instructions without a cluster are a cluster of their own.
--          Equal slices: the fresh instructions shuffled, of which the next of the remaining slices takes its part: the
--          paper's D_1..D_9 (arXiv 2407.10627, section 4.1), whatever comes or goes between the draws.
--          All chance is MD5 of seed, round, stage and instruction: the same on every machine, for every order of rows.
with used as (
    select instruction_id, round, stage
    from slices
    where round <> $round or stage <> $stage
),
fresh as (
    select
        instruction_id,
        coalesce(cluster, -1) as cluster,
        coalesce(source_weights.weight, 1) * coalesce(category_weights.weight, 1) as weight,
        concat_ws('/', $seed::bigint, $round, $stage, instruction_id) as key,
        concat_ws('/', $seed::bigint, $round, $stage, coalesce(cluster, -1)) as cluster_key
    from described
    left join source_weights using (source)
    left join category_weights using (category)
    anti join used using (instruction_id)
    anti join near_duplicates using (instruction_id)
    anti join contamination using (instruction_id)
    anti join wizard_arena using (instruction_id)
    where split = 'train'
),
drawable as (
    select
        * exclude (key, cluster_key),
        md5(key) as shuffle,
        ((md5_number_lower(key) >> 11) + 0.5) / 9007199254740992 as u,
        ((md5_number_lower(cluster_key) >> 11) + 0.5) / 9007199254740992 as v
    from fresh
    where weight > 0
),
placed as (
    select
        *,
        row_number() over (partition by cluster order by -ln(u) / weight, shuffle, instruction_id) as place,
        sum(weight) over (partition by cluster) as cluster_weight,
        count(*) over () as remaining
    from drawable
),
ordered as (
    select
        instruction_id,
        remaining,
        row_number() over (
            order by case when $slices::bigint is null then (place - v) / cluster_weight end, shuffle, instruction_id
        ) - 1 as position
    from placed
),
earlier as (
    select count(*) as draws
    from (select distinct round, stage from used)
)
select
    $round::varchar as round,
    $stage::varchar as stage,
    instruction_id,
    position::integer as position
from ordered
cross join earlier
where
    position < case
        when $slices::bigint is null then $size
        when draws < $slices then ceil(remaining / ($slices - draws))
        else 0
    end
order by position
