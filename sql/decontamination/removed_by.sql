-- Purpose: the training instructions that a test set removed, each beside the item that is to blame.
-- Grain:   one row per (instruction, test item, method).
-- Inputs:  test_items, contamination, near_duplicates, instructions.
-- Params:  $benchmark.
-- Method:  measure is what the method goes by: words of the longest shared run (ngram), cosine of the embeddings (embedding),
--          Jaccard similarity of the word shingles (near_duplicate); 1 for the same conversation. Texts: first turns.
with evidence as (
    select instruction_id, test_id, method, coalesce(overlap, similarity, 1) as measure
    from contamination
    where benchmark = $benchmark
    union all
    select near_duplicates.instruction_id, kept_id as test_id, 'near_duplicate' as method, jaccard as measure
    from near_duplicates
    inner join test_items on near_duplicates.kept_id = test_items.instruction_id
    where benchmark = $benchmark
)
select
    evidence.method,
    evidence.measure,
    train.source,
    train.source_id,
    train.conversation[1].content as training_text,
    test.conversation[1].content as test_text,
    evidence.instruction_id,
    evidence.test_id
from evidence
inner join instructions as train on evidence.instruction_id = train.instruction_id
inner join instructions as test on evidence.test_id = test.instruction_id
order by evidence.method, evidence.measure desc, evidence.instruction_id, evidence.test_id
