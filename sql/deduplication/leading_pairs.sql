-- Purpose: the pairs that can be decided now: nobody can remove their first any more.
-- Grain:   one row per pair, first < second.
-- Inputs:  candidate_pairs (those that are still open).
-- Method:  greedy maximal independent set in rounds: who is second in no open pair stays. In random order, which hashes have,
--          there are few rounds (Blelloch, Fineman and Shun 2012, arXiv 1202.3205).
select first, second
from candidate_pairs
where first not in (select second from candidate_pairs)
order by first, second
