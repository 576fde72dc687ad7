-- Purpose: why training instructions are contaminated.
-- Grain:   one row per (instruction, test item, method): rows of contamination.
-- Inputs:  identical (instruction_id, source, benchmark), subjects, items, shared_runs, neighbours.
-- Params:  $now.
with found as (
    select instruction_id, test_id, 'ngram' as method, overlap, null::double as similarity
    from shared_runs
    union all
    select instruction_id, test_id, 'embedding' as method, null::integer as overlap, similarity
    from neighbours
),
evidence as (
    select found.*, subjects.source, items.benchmark
    from found
    inner join subjects on found.instruction_id = subjects.instruction_id
    inner join items on found.test_id = items.instruction_id
    union all by name
    select instruction_id, source, benchmark, instruction_id as test_id, 'identical' as method
    from identical
)
select instruction_id, source, benchmark, test_id, method, overlap, similarity, $now::timestamptz as created_at
from evidence
order by instruction_id, test_id, method
