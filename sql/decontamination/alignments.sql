-- Purpose: where training texts may share a long run of words with a test item.
-- Grain:   one row per (instruction, test item, shift): word p + shift of the instruction lies beside word p of the item.
-- Inputs:  words (of the training instructions), test_words (instruction_id, words).
-- Params:  $ngram, $shortest, $share.
-- Method:  size is how many words in a row are evidence: $ngram, or $shortest that are $share of an item. Items of fewer than
--          $shortest words are none. Every (size - 3)-th run of four words of an item is a seed: each run of `size` words
--          then holds exactly one whole seed, so no shared run is missed, and few seeds are looked up.
-- Source:  $ngram and $shortest: Brown et al. 2020, arXiv 2005.14165, appendix C; $share: Lambert et al. 2024,
--          arXiv 2411.15124, section 3.2 (n-grams of 8 words, half of the item).
with items as (
    select
        instruction_id as test_id,
        words,
        least($ngram, greatest($shortest, ceil($share * len(words))))::bigint as size
    from test_words
    where len(words) >= $shortest
),
starts as (
    select test_id, size, words, unnest(range(1, len(words) - 2, size - 3)) as position
    from items
),
seeds as (
    select test_id, size, position, array_to_string(words[position:position + 3], ' ') as seed
    from starts
),
runs as (
    select
        instruction_id,
        generate_subscripts(words, 1) as position,
        unnest(list_zip(words, words[2:], words[3:], words[4:], true)) as run
    from words
)
select distinct runs.instruction_id, seeds.test_id, runs.position - seeds.position as shift, seeds.size
from runs
inner join seeds on concat_ws(' ', run[1], run[2], run[3], run[4]) = seeds.seed
order by all
