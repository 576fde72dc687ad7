-- Purpose: the instructions that are removed in a round, and for which one.
-- Grain:   one row per removed instruction.
-- Inputs:  leading_pairs, shingles (place, hashes: the distinct shingles of a text).
-- Params:  $threshold.
-- Method:  exact Jaccard similarity of the two sets: the shingles that both have over those that either has. It is at most the
--          smaller size over the larger one, so many pairs need no intersection. Of several that stay, the first removes.
with sizes as (
    select place, len(hashes) as size
    from shingles
),
possible as (
    select leading_pairs.first, leading_pairs.second, one.size + other.size as total
    from leading_pairs
    inner join sizes as one on leading_pairs.first = one.place
    inner join sizes as other on leading_pairs.second = other.place
    where least(one.size, other.size) >= $threshold * greatest(one.size, other.size)
),
compared as (
    select possible.first, possible.second, total, len(list_intersect(one.hashes, other.hashes)) as common
    from possible
    inner join shingles as one on possible.first = one.place
    inner join shingles as other on possible.second = other.place
)
select second as place, min(first) as kept, arg_min(common / (total - common), first) as jaccard
from compared
where common >= $threshold * (total - common)
group by second
order by place
