-- Purpose: the training instructions that are held against test items.
-- Grain:   one row per instruction.
-- Inputs:  instructions, test_items.
-- Params:  $source, $since (microseconds since 1970: rows loaded after it are fresh; null: all of the source).
-- Method:  the fresh ones of the source are held against every test item. Where the source brings fresh test items, those
--          are held against every training instruction of the lake.
with fresh_items as (
    select instruction_id
    from test_items
    where benchmark = $source and ($since is null or listed_at > make_timestamptz($since))
)
select
    instruction_id,
    source,
    source = $source and ($since is null or loaded_at > make_timestamptz($since)) as fresh
from instructions
where
    instruction_id not in (select instruction_id from test_items)
    and (fresh or exists (from fresh_items))
order by instruction_id
