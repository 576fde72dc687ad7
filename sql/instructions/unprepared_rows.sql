-- Purpose: landed rows of a source that were neither prepared nor refused by today's rules.
-- Grain:   one row per landed row.
-- Inputs:  raw_instructions, instructions, settled (of instructions/settled_rejects).
-- Params:  $source, $rules (digest of today's rules).
-- Method:  anti joins on ids alone, so that a small addition to a large source costs little more than its own size.
with done as (
    select source_id from instructions where source = $source
    union all
    select source_id from settled where rules = $rules
)
select source_id, file, line, raw, license
from raw_instructions
where source = $source and source_id not in (select source_id from done)
