-- Purpose: merged battles with the length and Markdown of both answers, so that no rating reads the answers themselves again.
-- Grain: instruction_id, turn, model_a, model_b, judge_id.
-- Inputs: merged_battles, the rows of battles/merge_games, merge_panel or merge_recorded; answer_style, the rows of
--   battles/answer_style.
-- Parameters: none.
-- Method: an answer that failed, or that no recording holds, has no style: its columns are null and never 0.
-- Source: none; bookkeeping.
select
    merged_battles.*,
    a.length as length_a,
    b.length as length_b,
    a.headers as headers_a,
    b.headers as headers_b,
    a.bold as bold_a,
    b.bold as bold_b,
    a.lists as lists_a,
    b.lists as lists_b
from merged_battles
left join answer_style as a
    on a.instruction_id = merged_battles.instruction_id
    and a.turn = merged_battles.turn
    and a.contestant_id = merged_battles.model_a
left join answer_style as b
    on b.instruction_id = merged_battles.instruction_id
    and b.turn = merged_battles.turn
    and b.contestant_id = merged_battles.model_b
order by
    merged_battles.instruction_id,
    merged_battles.turn,
    merged_battles.model_a,
    merged_battles.model_b,
    merged_battles.judge_id;
