-- Purpose: figures of a draw: may these instructions be fought on, and are there enough.
-- Grain: subject: (all).
-- Inputs: staged_slices (rows that wait for their audit), instructions, slices, wizard_arena.
-- Parameters: $round, $stage, $slice_size (as configured; null: equal slices, which the draw
--   sizes itself), $imported (recorded slices have the size that they have).
-- Method: unknown: instructions that the lake does not have; not_train: of a split that is tested on, or members of a WizardArena set; drawn_before: drawn by another
--   round or stage. short_by: rows that are missing to the configured size. top_category_share needs 20 instructions.
-- Source: none; bookkeeping.
with drawn as (
    select
        batch.instruction_id,
        instructions.split,
        batch.instruction_id in (select wizard_arena.instruction_id from wizard_arena) as member,
        instructions.category
    from staged_slices as batch
    left join instructions on instructions.instruction_id = batch.instruction_id
),

repeated as (
    select count(*) as drawn_before
    from staged_slices as batch
    inner join slices on slices.instruction_id = batch.instruction_id
    where slices.round <> $round or slices.stage <> $stage
),

shares as (
    select max(n) as most
    from (
        select
            category,
            count(*) as n
        from drawn
        group by category
    )
)

select
    '(all)' as subject,
    count(*) as rows,
    count_if(drawn.split is null) as unknown,
    count_if(drawn.split <> 'train' or drawn.member) as not_train,
    (select repeated.drawn_before from repeated) as drawn_before,
    if($imported or $slice_size::bigint is null, null, greatest(0, $slice_size - count(*))) as short_by,
    case when count(*) >= 20 then (select shares.most from shares) / count(*) end as top_category_share
from drawn
order by subject;
