-- Purpose: which rows of a landing are not new: an id that the lake has, or that another row of the landing has.
-- Grain:   one row per landing row that must not be added, in its order.
-- Inputs:  landing (part, line, source_id, content: hash of the text), raw_instructions.
-- Params:  $source.
-- Method:  of rows with one id those stay that say what the lake has, else what the smallest hash has, so that no order of
--          rows changes what is kept. Texts in the lake are read only for ids that come again.
with repeated as (
    select source_id from landing group by source_id having count(*) > 1
    union
    select source_id from raw_instructions where source = $source and source_id in (select source_id from landing)
),
there as (
    select source_id, hash(raw) as content
    from raw_instructions
    where source = $source and source_id in (select source_id from repeated)
),
contents as (
    select
        landing.part,
        landing.line,
        source_id,
        landing.content,
        there.source_id is not null as landed_before,
        coalesce(there.content, min(landing.content) over (partition by source_id)) as kept
    from landing
    semi join repeated using (source_id)
    left join there using (source_id)
),
numbered as (
    select *, row_number() over (partition by source_id, content order by part, line) as copy
    from contents
)
select part, line, source_id, content <> kept as changed
from numbered
where landed_before or content <> kept or copy > 1
order by part, line
