-- Purpose: the shingles of the texts that are compared, as numbers.
-- Grain:   one row per instruction that is in a pair.
-- Inputs:  words (instruction_id, words: the rows of instructions/words), colliding.
-- Params:  $shingle (words of a run).
-- Method:  the distinct runs of $shingle words, each as a 64-bit hash that means something in this query alone; a shorter text is
--          one run. Runs grow by a word at a time, all runs of a text together.
with hashed as (
    -- Distinct for the threads: what a few row groups give is one thread's work, what an aggregate gives is everyone's.
    select distinct place, list_transform(words, lambda word: hash(word)) as words
    from words
    inner join colliding using (instruction_id)
)
select
    place,
    list_distinct(
        if(
            len(words) < $shingle,
            if(len(words) > 0, [hash(words)], []),
            list_reduce(
                range(2, $shingle::bigint + 1),
                lambda runs, next: list_transform(list_zip(runs, words[next:], true), lambda pair: hash(pair)),
                words
            )
        )
    ) as hashes
from hashed
order by place
