-- Purpose: in which split of an exported training set an instruction is, with all its turns.
-- Grain: instruction_id.
-- Inputs: instructions.
-- Parameters: $test_share (0 to 1), $seed.
-- Method: the test split has those whose MD5, with the seed, is among the first $test_share of all numbers; so it is the
--   same on every machine and does not move when examples are added.
-- Source: none; bookkeeping.
select
    instruction_id,
    source,
    if(
        ('0x' || left(md5(concat_ws('/', $seed::bigint, instruction_id)), 8))::bigint / 4294967296.0 < $test_share::double,
        'test',
        'train'
    ) as split
from instructions
order by instruction_id;
