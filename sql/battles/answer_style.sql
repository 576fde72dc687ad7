-- Purpose: length and Markdown of every judged answer, what style control and length-controlled win rates compare.
-- Grain: instruction_id, contestant_id, turn.
-- Inputs: judged_answers, the rows of battles/judged_answers (for recorded battles: the recorded answers).
-- Parameters: none.
-- Method: length in characters, because token counts depend on the contestant's tokenizer and recorded answers have none.
--   Code blocks (fenced by three backticks or tildes, closed or not) count for the length alone: in code, # and * mean
--   other things. headers: lines that start with one to six #; bold: spans in ** or __ within a line; lists: lines that
--   start with -, *, + or a number and a dot or bracket. Failed answers have no style.
-- Source: features of LMSYS' style control (https://lmsys.org/blog/2024-08-28-style-control/); syntax of CommonMark 0.31.
with prose as (
    select
        *,
        regexp_replace(text, '(?ms)^ {0,3}(?:```.*?(?:^ {0,3}```|\z)|~~~.*?(?:^ {0,3}~~~|\z))', '', 'g') as prose
    from judged_answers
    where text is not null
)

select
    instruction_id,
    contestant_id,
    turn,
    length(text)::integer as length,
    len(regexp_extract_all(prose, '(?m)^ {0,3}#{1,6}(?:[ \t]|$)'))::integer as headers,
    len(regexp_extract_all(prose, '\*\*[^*\n]+\*\*|\b__[^_\n]+__\b'))::integer as bold,
    len(regexp_extract_all(prose, '(?m)^[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+\S'))::integer as lists
from prose
order by instruction_id, contestant_id, turn;
