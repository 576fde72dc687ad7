-- Purpose: why training instructions are contaminated.
-- Grain:   one row per (instruction, test item, method): rows of contamination.
-- Inputs:  identical (instruction_id, source, benchmark), subjects, items, shared_runs.
-- Params:  $now.
with found as (
    select instruction_id, test_id, 'ngram' as method, overlap, null::double as similarity
    from shared_runs
)
select instruction_id, source, benchmark, instruction_id as test_id, 'identical' as method, null::integer as overlap,
    null::double as similarity, $now::timestamptz as created_at
from identical
union all
select found.instruction_id, subjects.source, items.benchmark, found.test_id, found.method, found.overlap,
    found.similarity, $now::timestamptz as created_at
from found
inner join subjects on found.instruction_id = subjects.instruction_id
inner join items on found.test_id = items.instruction_id
order by instruction_id, test_id, method
