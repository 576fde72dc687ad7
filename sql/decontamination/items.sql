-- Purpose: the test items that training instructions are held against.
-- Grain:   one row per test item.
-- Inputs:  test_items, subjects.
-- Params:  $source.
-- Method:  all of them where fresh training rows are to be examined, else those of the test set that has just come. An item
--          of two test sets counts for the one that sorts first.
select instruction_id, min(benchmark) as benchmark
from test_items
where benchmark = $source or exists (from subjects where fresh)
group by instruction_id
order by instruction_id
