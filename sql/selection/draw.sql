-- Purpose: which of a stage's candidates become its training set: the strategy's order, at most n per group, a size.
-- Grain: example_id.
-- Inputs: candidates (the rows of sft.sql, pairs.sql or ppo.sql), described.
-- Parameters: $strategy, $size (examples wanted; null: all), $max_per_group (examples per group; null: any number),
--   $group (category or cluster), $seed.
-- Method: candidates are put into one order and taken from its front; of each group only the first $max_per_group
--   count. The orders:
--     threshold   by margin, largest first; the candidates are those that pass the threshold K: the paper's method
--     margin      by margin, largest first; here and below the candidates are all usable items of the slice
--     random      shuffled
--     length      by the characters of the user's turns, longest first
--     difficulty  by difficulty, hardest first
--     diversity   round robin through the embedding clusters: one of each, then a second of each, and so on
--   Equal ones are shuffled by MD5 and a seed, so the draw is the same on every machine and for every order of rows.
--   What has no known difficulty or cluster cannot be placed by it: it is left out where strategy or group go by it.
-- Source: Arena Learning (arXiv 2407.10627), comparison of data selection methods at a fixed size. Of its rows, IFD and
--   INSTAG need models of their own and are not here; difficulty and margin are our additions.
with attributed as (
    select
        candidates.*,
        described.difficulty,
        described.cluster,
        case $group
            when 'category' then candidates.category
            when 'cluster' then described.cluster::varchar
        end as member_of,
        list_sum([length(message.content) for message in prompt if message.role = 'user']) as characters,
        md5(concat_ws('/', $seed::bigint, candidates.example_id)) as shuffle
    from candidates
    inner join described using (instruction_id)
),

-- The smallest comes first.
placed as (
    select
        *,
        case $strategy
            when 'threshold' then -margin
            when 'margin' then -margin
            when 'random' then 0
            when 'length' then -characters
            when 'difficulty' then -difficulty
            when 'diversity' then case when cluster is not null then row_number() over same_cluster end
        end as place
    from attributed
    window same_cluster as (partition by cluster order by shuffle, example_id)
),

grouped as (
    select *
    from placed
    where place is not null
    qualify
        $max_per_group::bigint is null
        or (
            member_of is not null
            and row_number() over (partition by member_of order by place, shuffle, example_id) <= $max_per_group
        )
),

drawn as (
    select *
    from grouped
    qualify $size::bigint is null or row_number() over (order by place, shuffle, example_id) <= $size
)

select
    round,
    stage,
    example_id,
    instruction_id,
    turn,
    prompt,
    chosen,
    rejected,
    chosen_model,
    rejected_model,
    margin,
    battle_ids,
    category,
    license
from drawn
order by instruction_id, turn;
