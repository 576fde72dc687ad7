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
        (digest >> 64)::ubigint as first_half,
        (digest & 18446744073709551615::uhugeint)::ubigint as second_half
    from (
        select
            size,
            resample,
            block,
            md5_number(concat_ws('|', $seed::bigint, resample, block)) as digest
        from (select distinct size from scopes)
        cross join range(1, $resamples::bigint + 1) as resamples (resample)
        cross join lateral (select unnest(range((size::bigint + 7) // 8)) as block)
    )
),

draws as (
    select
        size,
        resample,
        8 * block + unnest(range(8)) as draw,
        unnest([
            first_half % size,
            first_half // size % size,
            first_half // size // size % size,
            first_half // size // size // size % size,
            second_half % size,
            second_half // size % size,
            second_half // size // size % size,
            second_half // size // size // size % size
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
