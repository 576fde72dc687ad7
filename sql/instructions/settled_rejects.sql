-- Purpose: rows of a source that were refused before, in a batch that was published: they are not looked at again.
-- Grain:   one row per refused row: named by line_sha256 where it was not landed, else by source_id and the rules' digest.
-- Inputs:  quarantine, raw_instructions, instructions.
-- Params:  $source, $meant_for (raw_instructions or instructions).
-- Method:  the rows of a batch and its refused rows carry the same time. Refusals of a batch that a gate stopped, or that was
--          rolled back, count again.
with published as (
    select distinct loaded_at from raw_instructions where source = $source and $meant_for = 'raw_instructions'
    union
    select distinct loaded_at from instructions where source = $source and $meant_for = 'instructions'
)
select distinct
    key::json ->> 'line_sha256' as line_sha256,
    key::json ->> 'source_id' as source_id,
    key::json ->> 'rules' as rules
from quarantine
where
    quarantine.table = $meant_for
    and key::json ->> 'source' = $source
    and created_at in (select loaded_at from published)
order by all
