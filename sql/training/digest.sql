-- Purpose: a hash of what a training learns from.
-- Grain: one row.
-- Inputs: training_examples, the rows of training/examples.
-- Method: SHA-256 over the hashes of the examples in the order of their ids: the same for every order of rows and files.
with hashes as (
    select
        example_id,
        sha256(concat_ws(chr(31), example_id, prompt::varchar, coalesce(chosen, chr(30)), coalesce(rejected, chr(30)))) as hash
    from training_examples
)

select
    count(*) as examples,
    sha256(coalesce(string_agg(hash, '' order by example_id), '')) as data_sha256
from hashes;
