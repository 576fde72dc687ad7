-- Purpose: how many rows each rule held back, and how many of them were released.
-- Grain: table, round, expectation.
-- Inputs: quarantine.
-- Parameters: $round (null: all).
-- Method: a released row is there once more, in that state. Rows of tables without rounds count for every round.
-- Source: none; bookkeeping.
select
    "table",
    round,
    expectation,
    count_if(state = 'held') - count_if(state = 'released') as held,
    count_if(state = 'removed') as removed,
    count_if(state = 'released') as released
from quarantine
where $round::varchar is null or coalesce(round = $round, true)
group by "table", round, expectation
order by "table", round, expectation;
