-- Purpose: the training instructions that lie nearest to each test item.
-- Grain:   one row per (instruction, test item).
-- Inputs:  similarities (instruction_id, test_id, similarity: at least the nearest of each part of the instructions).
-- Params:  $neighbours, $similarity.
-- Method:  of every test item the $neighbours most similar instructions (Luo et al. 2024, arXiv 2407.10627: 5), if they are at
--          least $similarity close. Equal similarities rank by instruction_id.
with ranked as (
    select
        instruction_id,
        test_id,
        similarity,
        row_number() over (partition by test_id order by similarity desc, instruction_id) as rank
    from similarities
)
select instruction_id, test_id, similarity
from ranked
where rank <= $neighbours and similarity >= $similarity
order by instruction_id, test_id
