-- Purpose: which rows of a batch repeat another conversation of it or of the lake, in whole or in its beginning.
-- Grain:   one row per candidate that is not kept.
-- Inputs:  prepared (source_id, instruction_id, split, prefix), instructions.
-- Params:  none.
-- Method:  what the lake has stays. Inside the batch the smallest id stays, of copies in a test set and in training data that
--          of the test set: a choice that no order of rows changes. Beginnings are compared as hashes (null: not compared);
--          the rule is the third filter of Arena Learning (arXiv 2407.10627 section 4.1), its keeper is ours.
with copies as (
    select instruction_id, min(row(split = 'train', source_id)) as first_copy, any_value(prefix) as prefix
    from prepared
    group by instruction_id
),
there as (
    select instruction_id, source, split
    from instructions
    where instruction_id in (select instruction_id from copies)
),
fresh as (
    select instruction_id, prefix
    from copies
    where prefix is not null and instruction_id not in (select instruction_id from there)
),
beginnings as (
    select prefix, min(instruction_id) as instruction_id
    from fresh
    group by prefix
),
known_beginnings as (
    select prefix, min(instruction_id) as instruction_id
    from instructions
    where prefix in (select prefix from beginnings)
    group by prefix
),
compared as (
    select
        prepared.source_id,
        prepared.instruction_id,
        there.source as source_there,
        there.split as split_there,
        row(prepared.split = 'train', prepared.source_id) <> copies.first_copy as is_copy,
        copies.first_copy[2] as first_copy,
        coalesce(known_beginnings.instruction_id, beginnings.instruction_id) as same_beginning
    from prepared
    inner join copies using (instruction_id)
    left join there using (instruction_id)
    left join beginnings on beginnings.prefix = prepared.prefix
    left join known_beginnings on known_beginnings.prefix = prepared.prefix
)
select
    source_id,
    if(source_there is not null or is_copy, 'exact_duplicate', 'prefix_duplicate') as filter,
    case
        when source_there is not null then 'in the lake from source ' || source_there || ', split ' || split_there
        when is_copy then 'row ' || first_copy || ' of this source says the same'
        else 'begins as instruction ' || same_beginning
    end as reason
from compared
where source_there is not null or is_copy or same_beginning <> instruction_id
order by source_id
