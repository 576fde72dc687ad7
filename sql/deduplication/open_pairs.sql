-- Purpose: the pairs that are still to be decided after a round.
-- Grain:   one row per pair, first < second.
-- Inputs:  candidate_pairs (those that were open), leading_pairs (those of the round), removed.
-- Method:  a pair with a removed row says nothing more: that row neither stays nor removes another.
select first, second
from candidate_pairs
where
    (first, second) not in (select (first, second) from leading_pairs)
    and first not in (select place from removed)
    and second not in (select place from removed)
order by first, second
