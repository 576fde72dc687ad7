-- Purpose: the near-duplicates among the candidate pairs.
-- Grain:   one row per pair, first < second.
-- Inputs:  candidate_pairs, shingles (place, hashes: the distinct shingles of a text).
-- Params:  $threshold.
-- Method:  exact Jaccard similarity of the two sets: the shingles that both have over those that either has.
with compared as (
    select
        candidate_pairs.first,
        candidate_pairs.second,
        len(list_intersect(one.hashes, other.hashes)) as common,
        len(one.hashes) + len(other.hashes) as total
    from candidate_pairs
    inner join shingles as one on candidate_pairs.first = one.place
    inner join shingles as other on candidate_pairs.second = other.place
)
select first, second, common / (total - common) as jaccard
from compared
where common >= $threshold * (total - common)
order by first, second
