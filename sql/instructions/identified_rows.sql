-- Purpose: the identity and the licence of rows that a source gives, before they are kept.
-- Grain:   one row per given row.
-- Inputs:  given (line, raw: JSON text).
-- Params:  $paths (JSON paths of the source's columns for id and licence), $license (of rows that do not name their own).
-- Method:  one parse of the JSON text per row. A row without an id is named by the hash of its text.
with parsed as (
    select line, raw, starts_with(raw, '{') as is_object, try(json_extract_string(raw, $paths)) as found
    from given
)
select
    line,
    raw,
    coalesce(is_object and found is not null, false) as readable,
    coalesce(nullif(found[1], ''), sha256(raw)) as source_id,
    coalesce(nullif(trim(found[2]), ''), $license::varchar) as license
from parsed
