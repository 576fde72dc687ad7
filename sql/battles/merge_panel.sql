-- Purpose: one battle out of what the judges of a panel made of the same pair.
-- Grain: instruction_id, turn, model_a, model_b, and judge_id for judges that are not of the panel.
-- Inputs: judge_battles, the rows of battles/merge_games: one per pair and judge.
-- Parameters: $panel (judge_ids of its members), $panel_id (judge_id of the result), $rule (mean or majority), $quorum.
-- Method: every judge's two games are merged first, so a judge that flips with the order has one vote like the others. A
--   pair of identical answers is a tie without a vote. Fewer than $quorum usable votes leave the battle unusable. mean: the
--   larger mean of the judges' mean scores wins. majority: the side that most judges name wins, and equal counts are a tie;
--   a tie counts as naming neither. Means are over the usable votes, games counts those of all of them, and the panel is
--   consistent with the order if all of its judges are. Battles of other judges (verifiers) pass through.
-- Source: juries of several judges: Verga et al., Replacing Judges with Juries (arXiv 2404.18796); the rules are ours.
with votes as (
    select
        *,
        winner <> 'unusable' and mean_a is not null as usable,
        winner = 'tie' and mean_a is null as identical
    from judge_battles
    where list_contains($panel::varchar[], judge_id)
),

counted as (
    select
        round,
        stage,
        arena,
        instruction_id,
        turn,
        model_a,
        model_b,
        bool_or(identical) as identical,
        count_if(usable) as votes,
        sum(games) filter (where usable) as games,
        round(avg(mean_a) filter (where usable), 9) as mean_a,
        round(avg(mean_b) filter (where usable), 9) as mean_b,
        count_if(usable and winner = 'model_a') - count_if(usable and winner = 'model_b') as lead,
        bool_and(order_consistent) filter (where usable) as order_consistent
    from votes
    group by all
),

decided as (
    select
        *,
        not identical and votes >= $quorum::bigint as usable,
        if($rule::varchar = 'mean', sign(mean_a - mean_b), sign(lead)) as balance
    from counted
)

select
    round,
    stage,
    arena,
    left(sha256(concat_ws(chr(31), instruction_id, turn, model_a, model_b, $panel_id::varchar)), 32) as battle_id,
    instruction_id,
    turn,
    model_a,
    model_b,
    $panel_id::varchar as judge_id,
    if(usable, games, 0)::integer as games,
    case when usable then mean_a end as mean_a,
    case when usable then mean_b end as mean_b,
    case
        when identical then 'tie'
        when not usable then 'unusable'
        when balance > 0 then 'model_a'
        when balance < 0 then 'model_b'
        else 'tie'
    end as winner,
    case when usable then round(abs(mean_a - mean_b), 9) end as margin,
    case when usable then order_consistent end as order_consistent,
    null::varchar as recorded_in
from decided
union all
select * from judge_battles where not list_contains($panel::varchar[], judge_id)
order by instruction_id, turn, model_a, model_b, judge_id;
