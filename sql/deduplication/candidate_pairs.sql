-- Purpose: the pairs whose texts are compared.
-- Grain:   one row per pair, first < second.
-- Inputs:  colliding.
-- Params:  $window.
-- Method:  every two that share a band, of which the second may be removed: it is no test item, and one of them is fresh.
--          Where more than $window share a band, each is paired with the first of them and with the $window nearest by
--          signature (sorted neighbourhood): a template with a hundred thousand copies makes millions of pairs, not billions.
with banded as (
    select place, neighbour, generate_subscripts(bands, 1) as band, unnest(bands) as hash
    from colliding
),
buckets as (
    select band, hash, count(*) as n, min(place) as lowest
    from banded
    group by band, hash
    having n > 1
),
small as (
    select place, band, hash
    from banded
    semi join (from buckets where n <= $window) using (band, hash)
),
large as (
    select place, neighbour, band, hash, lowest
    from banded
    inner join buckets using (band, hash)
    where n > $window
),
lined_up as (
    select
        place,
        unnest(list_append(list(place) over (nearest rows between 1 following and $window following), lowest)) as other
    from large
    window nearest as (partition by band, hash order by neighbour)
),
pairs as (
    select one.place as first, other.place as second
    from small as one
    inner join small as other using (band, hash)
    where one.place < other.place
    union
    select least(place, other) as first, greatest(place, other) as second
    from lined_up
    where place <> other
)
select pairs.first, pairs.second
from pairs
inner join colliding as kept on pairs.first = kept.place
inner join colliding as removed on pairs.second = removed.place
where not removed.is_test and (kept.fresh or removed.fresh)
order by pairs.first, pairs.second
