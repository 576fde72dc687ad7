-- Purpose: the vectors that clusters are made from: a seeded sample of what may be drawn for training.
-- Grain:   instruction_id.
-- Inputs:  instructions, embeddings, near_duplicates, contamination.
-- Params:  $model (encoder), $size (rows wanted), $seed.
-- Method:  a shuffle by MD5, the same on every machine and for every order of rows. Near-duplicates would pull a centre
--          towards what is only repeated.
with pool as (
    select instruction_id, vector
    from embeddings
    semi join (select instruction_id from instructions where split = 'train') as training using (instruction_id)
    anti join near_duplicates using (instruction_id)
    anti join contamination using (instruction_id)
    where model = $model
)
select instruction_id, vector
from pool
order by md5(concat_ws('/', $seed::bigint, instruction_id)), instruction_id
limit $size
