-- Purpose: how often each resample draws each cluster.
-- Grain: resample, cluster; clusters that a resample does not draw have no row.
-- Inputs: clusters.
-- Parameters: $resamples (0: none), $seed.
-- Method: a resample draws as many clusters of a scope as there are, with replacement. Eight draws come from one digest:
--   md5(seed | resample | block) has two halves of 64 bits, and each half yields four digits in base N (the number of
--   clusters). The same on every machine, for every order of the rows, and for every result computed from them.
--   (Unsigned 64-bit numbers throughout: mixed signs would make DuckDB calculate with 128 bits.)
-- Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993).
with scopes as (
    select
        scope,
        min(cluster) as first_cluster,
        count(distinct cluster)::ubigint as size
    from clusters
    group by scope
),

digests as (
    select
        size,
        resample,
        block,
        md5_number_lower(concat_ws('|', $seed::bigint, resample, block)) as low_half,
        md5_number_upper(concat_ws('|', $seed::bigint, resample, block)) as high_half
    from (select distinct size from scopes)
    cross join range(1, $resamples::bigint + 1) as resamples (resample)
    cross join lateral (select unnest(range((size::bigint + 7) // 8)) as block)
),

draws as (
    select
        size,
        resample,
        8 * block + unnest(range(8)) as draw,
        unnest([
            low_half % size,
            low_half // size % size,
            low_half // size // size % size,
            low_half // size // size // size % size,
            high_half % size,
            high_half // size % size,
            high_half // size // size % size,
            high_half // size // size // size % size
        ]) as drawn
    from digests
),

counts as (
    select
        size,
        resample,
        drawn,
        count(*) as weight
    from draws
    where draw < size::bigint
    group by all
)

select
    resample,
    (first_cluster + drawn::integer)::integer as cluster,
    weight
from scopes
inner join counts using (size)
order by resample, cluster;
