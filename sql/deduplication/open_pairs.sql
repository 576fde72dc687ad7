-- Purpose: the pairs that the leading ones leave to be decided.
-- Grain:   one row per pair, first < second.
-- Inputs:  candidate_pairs, compared_pairs (the leading pairs), removed (place: the rows that these removed).
-- Method:  a pair with a removed row says nothing more: that row neither stays nor removes another.
select first, second
from candidate_pairs
where
    (first, second) not in (select (first, second) from compared_pairs)
    and first not in (select place from removed)
    and second not in (select place from removed)
order by first, second
