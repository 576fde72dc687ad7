-- Purpose: can each judge of a round be read, and does the order of the answers sway it.
-- Grain: judge_id, judge_kind.
-- Inputs: verdicts, battles.
-- Parameters: $round.
-- Method: parse_rate is over all games that were judged; order_consistency over usable battles. first_wins is the share of the decided
--   games of usable battles in which the answer shown first scored higher: both orders are among them, so a judge that
--   position does not sway has 0.5.
with round_battles as (
    select *
    from battles
    where round = $round and winner <> 'unusable'
),

merged as (
    select
        judge_id,
        count(order_consistent) as battles,
        count(*) filter (where order_consistent) as consistent
    from round_battles
    group by judge_id
),

games as (
    select
        verdicts.judge_id,
        verdicts.judge_kind,
        verdicts.parse_status = 'ok' as parsed,
        round_battles.judge_id is not null and verdicts.score_a <> verdicts.score_b as decided,
        (verdicts.score_a > verdicts.score_b) = (verdicts.shown_first = 'model_a') as first_won
    from verdicts
    left join round_battles using (stage, arena, instruction_id, turn, model_a, model_b, judge_id)
    where verdicts.round = $round and verdicts.parse_status <> 'identical'
),

judges as (
    select
        judge_id,
        judge_kind,
        count(*) as games,
        count(*) filter (where parsed) as parsed,
        count(*) filter (where decided) as decided,
        count(*) filter (where decided and first_won) as first_wins
    from games
    group by all
)

select
    judges.judge_id,
    judges.judge_kind,
    judges.games,
    judges.parsed,
    judges.parsed / judges.games as parse_rate,
    coalesce(merged.battles, 0) as battles,
    merged.consistent / merged.battles as order_consistency,
    judges.decided,
    judges.first_wins / nullif(judges.decided, 0) as first_wins
from judges
left join merged using (judge_id)
order by judges.judge_id, judges.judge_kind;
