-- Purpose: the training instructions that are removed as near-duplicates.
-- Grain:   one row per removed instruction: rows of near_duplicates.
-- Inputs:  removed, colliding.
-- Params:  $now.
select gone.instruction_id, gone.source, kept.instruction_id as kept_id, jaccard, $now::timestamptz as created_at
from removed
inner join colliding as gone on removed.place = gone.place
inner join colliding as kept on removed.kept = kept.place
order by gone.instruction_id
