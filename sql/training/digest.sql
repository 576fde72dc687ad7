-- Purpose: a hash of what a training learns from.
-- Grain: one row.
-- Inputs: training_examples, the rows of training/examples.
-- Parameters: none.
-- Method: MD5 of every example (id, prompt, answers), combined by exclusive or: ids are unique, so no two cancel out, and
--   the hash is the same for every order of rows and files. It tells data apart; it is no seal against forgery.
select
    count(*) as examples,
    printf('%032x', coalesce(bit_xor(md5_number(
        concat_ws(chr(31), example_id, prompt::varchar, coalesce(chosen, chr(30)), coalesce(rejected, chr(30)))
    )), 0::uhugeint)) as data_hash
from training_examples;
