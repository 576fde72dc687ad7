-- Purpose: how many training instructions have a vector: decides how many clusters there can be.
-- Grain:   one row.
-- Inputs:  instructions, embeddings.
-- Params:  $model (encoder).
-- Method:  near-duplicates count too: the number never falls, so that clusters never become fewer.
select count(*) as instructions
from embeddings
semi join (select instruction_id from instructions where split = 'train') as training using (instruction_id)
where model = $model
