-- Purpose: which games are unusable and why.
-- Grain: round, stage, arena, judge_id, parse_status; the games that parsed are the status 'ok'.
-- Inputs: verdicts.
-- Variables: none.
-- Method: games per status, and their share of all games that the judge was given in that partition.
with statuses as (
    select
        round,
        stage,
        arena,
        judge_id,
        parse_status,
        count(*) as games
    from verdicts
    group by all
)

select
    round,
    stage,
    arena,
    judge_id,
    parse_status,
    games,
    games / sum(games) over (partition by round, stage, arena, judge_id) as share
from statuses
order by round, stage, arena, judge_id, parse_status;
