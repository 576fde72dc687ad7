-- Purpose: figures of a batch of verdicts: are all games there, of answers that exist, and does the judge judge as it usually does.
-- Grain: subject: judge_id, and (all) for the batch as a whole.
-- Inputs: staged_verdicts (rows that wait for their audit), verdicts (published), responses, turns (what the arena asks), seats (judge_id, model_a, model_b,
--   checked: which turns the judge owes a verdict on), plans.
-- Parameters: $round, $stage, $arena, $imported.
-- Method: orphans: verdicts whose answers are not those of their models to their turn, or whose turn the arena does not ask.
--   missing: games that a judge owes (both contestants have a row for the turn) and has no verdict on, here or in another
--   partition (this one is replaced).
--   one_order: pairs of answers that the judge saw in one order only. Rates are over games that parsed and need 20 of them:
--   first_share: games with a winner that the answer shown first won. tie_rate: equal scores. top_result_share: of the most
--   frequent of the three results. disagreement_rate: pairs whose two orders name different results. score_spread: standard
--   deviation of all scores. early_rows, late_rows and over_plan as in quality/responses.
-- Source: position bias and agreement of two orders: Zheng et al. 2023, MT-Bench (arXiv 2306.05685), section 3.3.
with answers as materialized (
    select
        instruction_id,
        turn,
        contestant_id,
        response_id
    from responses
    semi join turns using (instruction_id, turn)
),

games as (
    select
        batch.instruction_id,
        batch.turn,
        batch.model_a,
        batch.model_b,
        batch.shown_first,
        batch.judge_id,
        batch.response_a,
        batch.response_b,
        batch.score_a,
        batch.score_b,
        batch.parse_status,
        batch.tokens_in + batch.tokens_out as tokens,
        batch.created_at,
        case
            when batch.score_a is null or batch.score_b is null then null
            when batch.score_a = batch.score_b then 'tie'
            when batch.score_a > batch.score_b then 'model_a'
            else 'model_b'
        end as result,
        turns.instruction_id is null
        or (batch.response_a is not null and a.response_id is null)
        or (batch.response_b is not null and b.response_id is null) as orphan
    from staged_verdicts as batch
    left join turns on turns.instruction_id = batch.instruction_id and turns.turn = batch.turn
    left join answers as a
        on a.response_id = batch.response_a
        and a.contestant_id = batch.model_a
        and a.instruction_id = batch.instruction_id
        and a.turn = batch.turn
    left join answers as b
        on b.response_id = batch.response_b
        and b.contestant_id = batch.model_b
        and b.instruction_id = batch.instruction_id
        and b.turn = batch.turn
),

known as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        shown_first
    from staged_verdicts as batch
    union
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        shown_first
    from verdicts
    semi join turns using (instruction_id)
    where (round, stage, arena) <> ($round::varchar, $stage::varchar, $arena::varchar)
),

orders as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        count(*) as orders
    from known
    group by all
),

owed as (
    select
        seats.judge_id,
        sum(2 - coalesce(orders.orders, 0)) as missing
    from seats
    inner join turns on seats.checked is null or seats.checked = turns.checked
    semi join answers as a
        on a.instruction_id = turns.instruction_id and a.turn = turns.turn and a.contestant_id = seats.model_a
    semi join answers as b
        on b.instruction_id = turns.instruction_id and b.turn = turns.turn and b.contestant_id = seats.model_b
    left join orders
        on orders.instruction_id = turns.instruction_id
        and orders.turn = turns.turn
        and orders.model_a = seats.model_a
        and orders.model_b = seats.model_b
        and orders.judge_id = seats.judge_id
    group by seats.judge_id
),

single as (
    select
        orders.judge_id,
        count(*) as one_order
    from orders
    semi join staged_verdicts as batch using (instruction_id, turn, model_a, model_b, judge_id)
    where orders.orders = 1
    group by orders.judge_id
),

pairs as (
    select
        judge_id,
        avg((result_of_a <> result_of_b)::integer) as disagreement_rate
    from (
        select
            judge_id,
            max(result) filter (where shown_first = 'model_a') as result_of_a,
            max(result) filter (where shown_first = 'model_b') as result_of_b
        from games
        where result is not null
        group by judge_id, instruction_id, turn, model_a, model_b
        having count(*) = 2
    )
    group by judge_id
    having count(*) >= 20
),

judged as (
    select
        judge_id,
        count(*) as rows,
        count(result) as parsed,
        count(result) / nullif(count_if(parse_status <> 'identical'), 0) as parse_rate,
        avg((result = shown_first)::integer) filter (where result in ('model_a', 'model_b')) as first_share,
        avg((result = 'tie')::integer) filter (where result is not null) as tie_rate,
        greatest(count_if(result = 'tie'), count_if(result = 'model_a'), count_if(result = 'model_b'))
        / nullif(count(result), 0) as top_result_share,
        avg((score_a + score_b) / 2) as mean_score,
        sqrt(avg((score_a ^ 2 + score_b ^ 2) / 2) - avg((score_a + score_b) / 2) ^ 2) as score_spread
    from games
    group by judge_id
),

planned as (
    select sum(tokens_in + tokens_out) as tokens
    from plans
    where round = $round and stage = $stage and arena = $arena and kind = 'verdict'
),

whole as (
    select
        '(all)' as subject,
        count(*) as rows,
        if($imported, null, count_if(orphan)) as orphans,
        count_if(created_at < $round::timestamptz - interval 2 day) as early_rows,
        count_if(created_at > current_timestamp + interval 1 hour) as late_rows,
        sum(tokens) / nullif((select planned.tokens from planned), 0) as over_plan
    from games
)

select
    judge_id as subject,
    rows,
    missing::bigint as missing,
    one_order,
    null::bigint as orphans,
    null::bigint as early_rows,
    null::bigint as late_rows,
    null::double as over_plan,
    case when rows >= 20 then parse_rate end as parse_rate,
    case when parsed >= 20 then first_share end as first_share,
    case when parsed >= 20 then tie_rate end as tie_rate,
    case when parsed >= 20 then top_result_share end as top_result_share,
    case when parsed >= 20 then mean_score end as mean_score,
    case when parsed >= 20 then score_spread end as score_spread,
    disagreement_rate
from owed
full join judged using (judge_id)
left join single using (judge_id)
left join pairs using (judge_id)
union all by name
select * from whole
order by subject;
