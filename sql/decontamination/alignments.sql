-- Purpose: where training texts may share a long run of words with a test item.
-- Grain:   one row per (instruction, test item, shift): word p + shift of the instruction lies beside word p of the item.
-- Inputs:  words (of the training instructions), test_words (instruction_id, words).
-- Params:  $ngram, $shortest.
-- Method:  items of fewer than $shortest words are no evidence. Of a longer one every (size - 3)-th run of four words is a seed, size being $ngram or the length of a shorter item:
--          each run of `size` words then holds exactly one whole seed, so no shared run is missed, and few seeds are looked up.
with items as (
    select instruction_id as test_id, words, least(len(words), $ngram) as size
    from test_words
    where len(words) >= $shortest
),
starts as (
    select test_id, words, unnest(range(1, len(words) - 2, size - 3)) as position
    from items
),
seeds as (
    select test_id, position, array_to_string(words[position:position + 3], ' ') as seed
    from starts
),
runs as (
    select
        instruction_id,
        generate_subscripts(words, 1) as position,
        unnest(list_zip(words, words[2:], words[3:], words[4:], true)) as run
    from words
)
select distinct runs.instruction_id, seeds.test_id, runs.position - seeds.position as shift
from runs
inner join seeds on concat_ws(' ', run[1], run[2], run[3], run[4]) = seeds.seed
order by all
