-- Purpose: which contestants answer everything alike. One fixed text can fool a judge on any instruction.
-- Grain: contestant_id.
-- Inputs: responses.
-- Parameters: none.
-- Method: instructions: answered ones; distinct_answers: different texts. An answer that several rounds use counts once. Texts
--   are compared as letters and digits in lower case, so blanks and punctuation do not hide a repetition; a text without any
--   is compared as it is. answer_share: share of the instructions on which the contestant's most frequent answer appears, in
--   any turn. opening_share: the same for the first 80 characters, which catches a fixed text with a changing end.
--   Good contestants have a little of both, from refusals and one-word answers: look at shares above one in ten.
-- Source: Zheng et al., Cheating Automatic LLM Benchmarks: Null Models Achieve High Win Rates (arXiv 2410.07137).
with answers as (
    select
        instruction_id,
        contestant_id,
        text,
        coalesce(nullif(trim(regexp_replace(lower(text), '[^\p{L}\p{N}]+', ' ', 'g')), ''), text) as letters
    from responses
    where text is not null
    qualify row_number() over (partition by instruction_id, contestant_id, turn order by round, stage, arena) = 1
),

totals as (
    select
        contestant_id,
        count(distinct instruction_id) as instructions,
        count(distinct letters) as distinct_answers
    from answers
    group by contestant_id
),

frequent_answers as (
    select
        contestant_id,
        min(text) as example,
        count(distinct instruction_id) as repeated
    from answers
    group by contestant_id, letters
    qualify row_number() over (partition by contestant_id order by repeated desc, example) = 1
),

frequent_openings as (
    select
        contestant_id,
        count(distinct instruction_id) as repeated
    from answers
    group by contestant_id, left(letters, 80)
    qualify row_number() over (partition by contestant_id order by repeated desc) = 1
)

select
    totals.contestant_id,
    totals.instructions,
    totals.distinct_answers,
    frequent_answers.repeated / totals.instructions as answer_share,
    frequent_openings.repeated / totals.instructions as opening_share,
    frequent_answers.example as most_frequent_answer
from totals
inner join frequent_answers using (contestant_id)
inner join frequent_openings using (contestant_id)
order by answer_share desc, opening_share desc, contestant_id;
