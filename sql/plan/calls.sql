-- Purpose: the calls of an arena that a round needs, and how many of them are done.
-- Grain: kind (response or verdict), name (contestant or judge).
-- Inputs: turns, the rows of quality/turns (by the draws that are still to come); responses, verdicts; entrants (name,
--   contestant_id: null for a contestant that does not exist yet); seats (name, judge_id,
--   checked: as in verdicts/due_games, model_a, model_b: names of the pairs that the judge may judge).
-- Parameters: none.
-- Method: every contestant answers every turn of every instruction. A judge gives two verdicts for every turn and pair, if
--   the turn has a checker or not, as its seat says. A call is done when its row is there and not an error.
-- Source: Arena Learning (arXiv 2407.10627), section 3.2.
with answered as (
    select distinct
        instruction_id,
        turn,
        contestant_id
    from responses
    where text is not null
),

answers as (
    select
        entrants.name,
        count(*) as calls,
        count(answered.contestant_id) as done
    from entrants
    cross join turns
    left join answered
        on answered.instruction_id = turns.instruction_id
        and answered.turn = turns.turn
        and answered.contestant_id = entrants.contestant_id
    group by entrants.name
),

judged as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        count(distinct shown_first) as games
    from verdicts
    where parse_status not in ('engine_error', 'missing_response')
    group by all
),

games as (
    select
        seats.name,
        count(*) * 2 as calls,
        sum(coalesce(judged.games, 0)) as done
    from seats
    inner join turns on seats.checked is null or seats.checked = turns.checked
    left join entrants as a on a.name = seats.model_a
    left join entrants as b on b.name = seats.model_b
    left join judged
        on judged.instruction_id = turns.instruction_id
        and judged.turn = turns.turn
        and judged.judge_id = seats.judge_id
        and judged.model_a = least(a.contestant_id, b.contestant_id)
        and judged.model_b = greatest(a.contestant_id, b.contestant_id)
    group by seats.name
)

select
    'response' as kind,
    name,
    (calls - done)::bigint as calls,
    done::bigint as done
from answers
union all
select
    'verdict' as kind,
    name,
    (calls - done)::bigint as calls,
    done::bigint as done
from games
order by kind, name;
