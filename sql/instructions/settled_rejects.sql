-- Purpose: rows of a source that were refused before, in a batch that was published: they are not looked at again.
-- Grain:   one row per refused row.
-- Inputs:  quarantine, raw_instructions, instructions.
-- Params:  $source, $table (raw_instructions or instructions).
-- Method:  the rows of a batch and its refused rows carry the same time. Refusals of a batch that a gate stopped, or that was
--          rolled back, count again.
with published as (
    select distinct loaded_at from raw_instructions where source = $source and $table = 'raw_instructions'
    union
    select distinct loaded_at from instructions where source = $source and $table = 'instructions'
)
select distinct quarantine.key::json as key
from quarantine
where
    quarantine.table = $table
    and quarantine.key::json ->> 'source' = $source
    and quarantine.created_at in (select loaded_at from published)
order by key::varchar
