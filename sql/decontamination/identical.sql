-- Purpose: conversations of a test set that the lake already has as training data.
-- Grain:   one row per instruction.
-- Inputs:  landed (instruction_id: what the test set brings), instructions.
-- Params:  $source (the test set).
select instruction_id, source, $source::varchar as benchmark
from instructions
where split = 'train' and instruction_id in (select instruction_id from landed)
order by instruction_id
