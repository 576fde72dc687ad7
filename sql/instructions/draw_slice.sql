-- Purpose: draw the fresh training instructions that a stage fights on.
-- Grain:   one row per drawn instruction of one (round, stage).
-- Inputs:  instructions, slices (all earlier draws), near_duplicates, contamination.
-- Params:  $round, $stage, $size (rows wanted), $seed.
-- Method:  a seeded shuffle by MD5, so that the draw is the same on every machine and for every order of rows; an
--          instruction that any other round or stage drew is never drawn again, and neither is one that is nearly the same
--          as another or that a test set has (the paper's equal random slices D_1..D_9,
--          arXiv 2407.10627 section 4.1, as a rolling draw).
with used as (
    select instruction_id
    from slices
    where round <> $round or stage <> $stage
),
removed as (
    select instruction_id from near_duplicates
    union all
    select instruction_id from contamination
),
fresh as (
    select instruction_id, md5(concat_ws('/', $seed, $round, $stage, instruction_id)) as shuffle
    from instructions
    where
        split = 'train'
        and instruction_id not in (select instruction_id from used)
        and instruction_id not in (select instruction_id from removed)
),
ordered as (
    select instruction_id, row_number() over (order by shuffle, instruction_id) - 1 as position
    from fresh
)
select
    $round::varchar as round,
    $stage::varchar as stage,
    instruction_id,
    position::integer as position
from ordered
where position < $size
order by position
