-- Purpose: length and repetition of two models' answers to the same test instructions.
-- Grain: contestant_id.
-- Inputs: responses.
-- Parameters: $round (last round that counts), $candidate, $champion (contestant ids).
-- Method: only answers that both gave. repetition is the share of the runs of four words that occurred before in the same
--   answer, over all of a model's answers; words are what white space parts, case does not count. An answer that several
--   rounds use is made once, in the first of them.
-- Source: ours; the measure is 1 minus distinct-4 (Li et al. 2016, arXiv 1510.03055) within each answer.
with answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        text,
        string_split_regex(lower(trim(text)), '\s+') as words
    from responses
    where
        arena = 'wizard_arena' and round <= $round and contestant_id in ($candidate, $champion) and text is not null
    qualify row_number() over (partition by instruction_id, turn, contestant_id order by round, stage) = 1
),

shared as (
    select *
    from answers
    qualify count(*) over (partition by instruction_id, turn) = 2
),

measured as (
    select
        contestant_id,
        length(text) as characters,
        [array_to_string(words[start : start + 3], ' ') for start in range(1, len(words) - 2)] as runs
    from shared
)

select
    contestant_id,
    count(*) as answers,
    avg(characters) as characters,
    coalesce(1 - sum(len(list_distinct(runs))) / nullif(sum(len(runs)), 0), 0)::double as repetition
from measured
group by contestant_id
order by contestant_id;
