-- Purpose: the instructions that may be near-duplicates of another one, in the order in which they are kept.
-- Grain:   one row per instruction.
-- Inputs:  signatures, near_duplicates, test_items.
-- Params:  $source, $scheme, $since (microseconds since 1970: signatures made after it are fresh; null: all of the source).
-- Method:  fresh are the new signatures of the source and, where it is a test set, all of its items; they are held against
--          all others of the scheme. A row collides when another one has an equal band at the same place and one of the two
--          is fresh. What was removed before is neither removed again nor a reason to remove another, unless it became a
--          test item since; who collides with such a row alone stays here, in no pair. Each signature of the lake is read once,
--          and a row that shares a band is carried along: reading it again would take a third of the scan. `place` is the order
--          of precedence: test items, then what the lake has, then the fresh rows by instruction_id, a hash, so that the order of
--          arrival does not matter. `neighbour` is the order of the signatures: the more alike, the closer.
with signed as not materialized (
    select
        instruction_id,
        source,
        bands,
        source = $source and ($since is null or created_at > make_timestamptz($since)) as is_new
    from signatures
    where scheme = $scheme
),
fresh as materialized (
    select instruction_id, source, bands
    from signed
    where is_new
    union all
    select instruction_id, source, bands
    from signed
    semi join (from test_items where benchmark = $source) as items using (instruction_id)
    where not is_new
),
fresh_bands as not materialized (
    select instruction_id, generate_subscripts(bands, 1) as band, unnest(bands) as hash
    from fresh
),
buckets as (
    select band, hash, count(*) as n
    from fresh_bands
    group by band, hash
),
other_bands as not materialized (
    select instruction_id, source, bands, generate_subscripts(bands, 1) as band, unnest(bands) as hash
    from signed
    where not is_new
),
met as (
    select *
    from other_bands
    semi join buckets using (band, hash)
    where instruction_id not in (select instruction_id from fresh)
),
shared as (
    select band, hash
    from buckets
    where n > 1
    union
    select band, hash
    from met
),
chosen as (
    select distinct instruction_id, source, bands, false as fresh
    from met
    union all
    select instruction_id, source, bands, true as fresh
    from fresh
    where instruction_id in (select instruction_id from fresh_bands semi join shared using (band, hash))
)
select
    row_number() over (
        order by instruction_id not in (select instruction_id from test_items), fresh, instruction_id
    )::integer as place,
    row_number() over (order by bands, instruction_id)::integer as neighbour,
    instruction_id,
    source,
    instruction_id in (select instruction_id from test_items) as is_test,
    fresh,
    bands
from chosen
where
    instruction_id not in (select instruction_id from near_duplicates)
    or instruction_id in (select instruction_id from test_items)
order by place
