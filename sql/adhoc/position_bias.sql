-- Purpose: how much a judge prefers the answer that it sees first, by category.
-- Grain: judge_id, category.
-- Inputs: verdicts, described.
-- Variables: none.
-- Method: games of model judges on pairs that parsed in both orders, so that every answer was first once: without bias
--   first_share is one half, whoever is better. A tie counts half.
with paired_games as (
    select
        judge_id,
        instruction_id,
        sign(if(shown_first = 'model_a', score_a - score_b, score_b - score_a)) as first_result
    from verdicts
    where parse_status = 'ok' and judge_kind = 'model'
    qualify count(*) over (partition by instruction_id, turn, model_a, model_b, judge_id) = 2
),

categories as (
    select
        judge_id,
        category,
        count(*) as games,
        count(*) filter (where first_result > 0) as first_wins,
        count(*) filter (where first_result < 0) as second_wins,
        count(*) filter (where first_result = 0) as ties
    from paired_games
    inner join described using (instruction_id)
    group by all
)

select
    judge_id,
    category,
    games,
    first_wins,
    second_wins,
    ties,
    (first_wins + ties / 2) / games as first_share
from categories
order by judge_id, category;
