-- Purpose: the pairs that are decided first: nobody can remove their first.
-- Grain:   one row per pair, first < second.
-- Inputs:  candidate_pairs.
-- Method:  here nearly all copies of a template go, each compared with the first one and not with its neighbours.
select first, second
from candidate_pairs
where first not in (select second from candidate_pairs)
order by first, second
