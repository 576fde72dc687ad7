-- Purpose: draw the members of the WizardArena sets: Diverse, and Hard; Mix is both together.
-- Grain:   instruction_id.
-- Inputs:  described, slices, near_duplicates, contamination.
-- Params:  $version, $diverse_per_cluster, $hard_per_cluster, $hard (members of Hard), $seed.
-- Method:  Diverse: the first $diverse_per_cluster of every cluster in a seeded shuffle. Hard: of the next $hard_per_cluster the
--          $hard most difficult. So the sets share no member (the paper leaves open whether they do), and Mix has exactly
--          their sum. Never a member: what a stage was trained or fought on, what is nearly the same as another, what
--          another test set has, and what has no cluster; for Hard, what has no known difficulty. Shuffled by MD5, so that
--          the draw is the same on every machine and for every order of rows.
-- Source:  Arena Learning (arXiv 2407.10627), WizardArena: 500 clusters, 2 and 20 of each, the 1,000 hardest.
with candidates as (
    select
        instruction_id,
        cluster,
        difficulty,
        md5(concat_ws('/', $seed::bigint, instruction_id)) as shuffle
    from described
    anti join slices using (instruction_id)
    anti join near_duplicates using (instruction_id)
    anti join contamination using (instruction_id)
    where split = 'train' and cluster is not null
),
shuffled as (
    select *, row_number() over (partition by cluster order by shuffle, instruction_id) as place
    from candidates
),
diverse as (
    select *, 'diverse' as set, row_number() over (order by cluster, place) as rank
    from shuffled
    where place <= $diverse_per_cluster
),
competing as (
    select *, row_number() over (partition by cluster order by place) as place_for_hard
    from shuffled
    where place > $diverse_per_cluster and difficulty is not null
),
hard as (
    select
        * exclude (place_for_hard),
        'hard' as set,
        row_number() over (order by difficulty desc, shuffle, instruction_id) as rank
    from competing
    where place_for_hard <= $hard_per_cluster
    qualify rank <= $hard
)
select
    $version::varchar as version,
    instruction_id,
    set,
    cluster,
    difficulty,
    rank::integer as rank,
    $now::timestamptz as created_at
from (select * from diverse union all by name select * from hard)
order by set, rank
