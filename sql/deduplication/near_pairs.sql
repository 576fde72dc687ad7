-- Purpose: the pairs whose texts are near-duplicates.
-- Grain:   one row per pair, first < second; ordered as pairs are decided.
-- Inputs:  compared_pairs (first, second), shingles (place, hashes: the distinct shingles of a text).
-- Params:  $threshold.
-- Method:  exact Jaccard similarity of the two sets: the shingles that both have over those that either has. It is at most the
--          smaller size over the larger one, so many pairs need no union.
--          Counting the union's members takes less than half as long as listing the intersection's.
with sizes as (
    select place, len(hashes) as size
    from shingles
),
possible as (
    -- Distinct for the threads: what a small table gives is one thread's work, what an aggregate gives is everyone's.
    select distinct compared_pairs.first, compared_pairs.second, one.size + other.size as total
    from compared_pairs
    inner join sizes as one on compared_pairs.first = one.place
    inner join sizes as other on compared_pairs.second = other.place
    where least(one.size, other.size) >= $threshold * greatest(one.size, other.size)
),
compared as (
    select possible.first, possible.second, total, list_unique(one.hashes || other.hashes) as either
    from possible
    inner join shingles as one on possible.first = one.place
    inner join shingles as other on possible.second = other.place
)
select first, second, (total - either) / either as jaccard
from compared
where total - either >= $threshold * either
order by second, first
