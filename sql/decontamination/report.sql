-- Purpose: what every test set removed from the training instructions, and by which evidence.
-- Grain:   one row per test set.
-- Inputs:  test_items, contamination, near_duplicates.
-- Method:  items: conversations of the set; found: those that some training instruction has in one of the ways; removed:
--          training instructions, each once, then by the way in which they were found (one may be found in several).
with evidence as (
    select benchmark, test_id, instruction_id, method
    from contamination
    union all
    select benchmark, kept_id as test_id, near_duplicates.instruction_id, 'near_duplicate' as method
    from near_duplicates
    inner join test_items on near_duplicates.kept_id = test_items.instruction_id
),
removed as (
    select
        benchmark,
        count(distinct test_id) as found,
        count(distinct instruction_id) as removed,
        count(distinct instruction_id) filter (where method = 'identical') as identical,
        count(distinct instruction_id) filter (where method = 'ngram') as ngram,
        count(distinct instruction_id) filter (where method = 'embedding') as embedding,
        count(distinct instruction_id) filter (where method = 'near_duplicate') as near_duplicate
    from evidence
    group by benchmark
),
sets as (
    select benchmark, count(distinct instruction_id) as items
    from test_items
    group by benchmark
)
select
    benchmark,
    items,
    coalesce(found, 0) as found,
    coalesce(removed, 0) as removed,
    coalesce(identical, 0) as identical,
    coalesce(ngram, 0) as ngram,
    coalesce(embedding, 0) as embedding,
    coalesce(near_duplicate, 0) as near_duplicate
from sets
left join removed using (benchmark)
order by benchmark
