-- Purpose: the training instructions that share a run of words with a test item.
-- Grain:   one row per (instruction, test item).
-- Inputs:  alignments, words (of the aligned training instructions), test_words (instruction_id, words).
-- Method:  along each alignment the two texts are compared word by word; the longest run of equal words must have as many as
--          alignments.size asks for.
with compared as (
    select
        alignments.instruction_id,
        alignments.test_id,
        alignments.size,
        list_zip(
            words.words[greatest(1, 1 + shift):], test_words.words[greatest(1, 1 - shift):], true
        ) as beside
    from alignments
    inner join words on alignments.instruction_id = words.instruction_id
    inner join test_words on alignments.test_id = test_words.instruction_id
),
marked as (
    select
        instruction_id,
        test_id,
        size,
        array_to_string([case when pair[1] = pair[2] then '+' else '-' end for pair in beside], '') as marks
    from compared
),
longest as (
    select instruction_id, test_id, size, list_max([len(run) for run in string_split(marks, '-')]) as overlap
    from marked
)
select instruction_id, test_id, max(overlap)::integer as overlap
from longest
where overlap >= size
group by instruction_id, test_id
order by instruction_id, test_id
