-- Purpose: length and Markdown of every answer, what style control compares.
-- Grain: instruction_id, contestant_id, turn.
-- Inputs: responses.
-- Parameters: none.
-- Method: length in characters, because token counts depend on the contestant's tokenizer and recorded answers have none.
--   Code blocks (fenced by three backticks or tildes, closed or not) count for the length alone: in code, # and * mean
--   other things. headers: lines that start with one to six #; bold: spans in ** or __ within a line; lists: lines that
--   start with -, *, + or a number and a dot or bracket. Failed answers have no style. An answer that
--   several rounds use is made once, in the first of them; of several recordings the earliest counts.
-- Source: features of LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/); syntax of CommonMark 0.31.
with prose as (
    select
        *,
        regexp_replace(text, '(?ms)^ {0,3}(?:```.*?(?:^ {0,3}```|\z)|~~~.*?(?:^ {0,3}~~~|\z))', '', 'g') as prose
    from responses
    where text is not null
    qualify row_number() over (partition by instruction_id, contestant_id, turn order by round, stage, arena) = 1
)

select
    instruction_id,
    contestant_id,
    turn,
    length(text)::double as length,
    len(regexp_extract_all(prose, '(?m)^ {0,3}#{1,6}(?:[ \t]|$)'))::double as headers,
    len(regexp_extract_all(prose, '\*\*[^*\n]+\*\*|\b__[^_\n]+__\b'))::double as bold,
    len(regexp_extract_all(prose, '(?m)^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S'))::double as lists
from prose
order by instruction_id, contestant_id, turn;
