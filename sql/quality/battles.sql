-- Purpose: figures of a batch of battles: do they follow from the verdicts, and are the results as usual.
-- Grain: subject: (all); of recorded battles also every contestant that answered and did not fight.
-- Inputs: staged_battles (rows that wait for their audit), verdicts, responses.
-- Parameters: $round, $stage, $arena, $imported (recorded battles have no verdicts).
-- Method: unmerged: pairs on a turn with verdicts in this partition and no battle; orphans: battles without verdicts. wrong_means and
--   wrong_winners: battles of a single judge whose mean scores are not those of the two games, or whose winner is not the side with
--   the higher mean. Rates need 20 battles. unread: recorded battles without a result. unjudged: battles that a contestant with
--   recorded answers should have and has not: its verdicts are missing, or are about another model. top_result_share: of the most frequent result among usable battles.
-- Source: none; bookkeeping.
with games as (
    select
        instruction_id,
        turn,
        model_a,
        model_b,
        judge_id,
        avg(score_a) as mean_a,
        avg(score_b) as mean_b
    from verdicts
    where round = $round and stage = $stage and arena = $arena
    group by all
),

pairs as (
    select distinct
        instruction_id,
        turn,
        model_a,
        model_b
    from games
),

unmerged as (
    select count(*) as unmerged
    from pairs
    anti join staged_battles as batch using (instruction_id, turn, model_a, model_b)
),

orphans as (
    select count(*) as orphans
    from staged_battles as batch
    anti join pairs using (instruction_id, turn, model_a, model_b)
),

single as (
    select
        count_if(abs(batch.mean_a - games.mean_a) > 1e-6 or abs(batch.mean_b - games.mean_b) > 1e-6) as wrong_means,
        count_if(
            batch.winner <> case
                when batch.mean_a > batch.mean_b then 'model_a'
                when batch.mean_a < batch.mean_b then 'model_b'
                else 'tie'
            end
        ) as wrong_winners
    from staged_battles as batch
    inner join games using (instruction_id, turn, model_a, model_b, judge_id)
    where batch.mean_a is not null and batch.games = 2
),

whole as (
    select
        count(*) as rows,
        count_if(winner <> 'unusable') as usable,
        avg((winner = 'unusable')::integer) as unusable_rate,
        avg((winner = 'tie')::integer) filter (where winner <> 'unusable') as tie_rate,
        greatest(count_if(winner = 'tie'), count_if(winner = 'model_a'), count_if(winner = 'model_b'))
        / nullif(count_if(winner <> 'unusable'), 0) as top_result_share,
        avg(margin) as mean_margin
    from staged_battles as batch
),

unjudged as (
    select distinct contestant_id
    from responses
    where $imported and round = $round and stage = $stage and arena = $arena
    except
    select unnest([model_a, model_b]) as contestant_id
    from staged_battles
)

select
    '(all)' as subject,
    whole.rows,
    if($imported, null, unmerged.unmerged) as unmerged,
    if($imported, null, orphans.orphans) as orphans,
    single.wrong_means,
    single.wrong_winners,
    if($imported, whole.rows - whole.usable, null) as unread,
    null::integer as unjudged,
    case when whole.rows >= 20 then whole.unusable_rate end as unusable_rate,
    case when whole.usable >= 20 then whole.tie_rate end as tie_rate,
    case when whole.usable >= 20 then whole.top_result_share end as top_result_share,
    case when whole.usable >= 20 then whole.mean_margin end as mean_margin
from whole
cross join unmerged
cross join orphans
cross join single
union all by name
select
    contestant_id as subject,
    1 as unjudged
from unjudged
order by subject;
