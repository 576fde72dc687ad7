-- Purpose: figures of a batch of instructions: copies among them and of the test set, and their language.
-- Grain: subject: (all).
-- Inputs: staged_instructions (rows that wait for their audit), instructions.
-- Parameters: none.
-- Method: texts are compared in lower case, without anything but letters and digits. test_copies: conversations that are training
--   data under one id and a test item under another, the batch and the lake together. repeated_share: conversations that differ from another
--   one of the batch in such trifles only. Shares need 20 rows.
-- Source: none; near duplicates have steps of their own.
with conversations as (
    select *, true as fresh
    from staged_instructions
    union all by name
    -- Only the other side of the split can hold copies: of a large lake that is the small test set, as a rule, and two
    -- branches let the reader pass over files of the one side.
    select *, false as fresh
    from instructions
    where split <> 'train' and (select bool_or(batch.split = 'train') from staged_instructions as batch)
    union all by name
    select *, false as fresh
    from instructions
    where split = 'train' and (select bool_or(batch.split <> 'train') from staged_instructions as batch)
),

texts as (
    select
        instruction_id,
        split = 'train' as trained,
        hash(regexp_replace(lower(array_to_string([turn.content for turn in conversation], ' ')), '[^\pL\pN]+', '', 'g')) as text_hash,
        fresh,
        category,
        language
    from conversations
    where fresh or instruction_id not in (select batch.instruction_id from staged_instructions as batch)
),

leaks as (
    select count(*) as test_copies
    from texts as item
    where
        item.fresh
        and exists (
            select 1
            from texts as other
            where other.text_hash = item.text_hash and other.trained <> item.trained
        )
),

fresh as (
    select * from texts where fresh
),

most as (
    select max(n) as most_of_a_category
    from (
        select
            category,
            count(*) as n
        from fresh
        group by category
    )
)

select
    '(all)' as subject,
    count(*) as rows,
    (select leaks.test_copies from leaks) as test_copies,
    case when count(*) >= 20 then 1 - count(distinct fresh.text_hash) / count(*) end as repeated_share,
    case when count(*) >= 20 then (select most.most_of_a_category from most) / count(*) end as top_category_share,
    case when count(*) >= 20 then avg((fresh.language = 'en')::integer) end as english_share
from fresh
order by subject;
