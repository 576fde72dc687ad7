-- Purpose: all rounds at a glance.
-- Grain: round, newest first.
-- Inputs: slices, battles, training_sets, promotions, quality_results, ratings.
-- Parameters: none.
-- Method: counts of what the lake has. promoted lists the candidates that became champion, leader the best model on the test set after
--   the round. problems are outcomes of critical expectations that did not pass, over all attempts.
with rounds as (
    select round from slices
    union
    select round from ratings
),

fights as (
    select
        round,
        count(*) as battles,
        count(*) filter (where winner <> 'unusable') as usable
    from battles
    group by round
),

examples as (
    select
        round,
        count(*) as examples
    from training_sets
    group by round
),

decisions as (
    select
        round,
        count(*) as decided,
        list(candidate order by created_at, stage) filter (where decision = 'promoted') as promoted
    from promotions
    group by round
),

problems as (
    select
        round,
        count(*) as problems
    from quality_results
    where severity = 'critical' and outcome <> 'pass'
    group by round
),

leaders as (
    select
        round,
        model,
        rating
    from ratings
    where scope = 'wizard_arena' and method = 'bradley_terry' and component = 1
    qualify row_number() over (partition by round order by rank, model) = 1
)

select
    rounds.round,
    coalesce(fights.battles, 0) as battles,
    coalesce(fights.usable, 0) as usable,
    coalesce(examples.examples, 0) as examples,
    coalesce(decisions.decided, 0) as decided,
    coalesce(decisions.promoted, []) as promoted,
    coalesce(problems.problems, 0) as problems,
    leaders.model as leader,
    leaders.rating as leader_rating
from rounds
left join fights on fights.round = rounds.round
left join examples on examples.round = rounds.round
left join decisions on decisions.round = rounds.round
left join problems on problems.round = rounds.round
left join leaders on leaders.round = rounds.round
order by rounds.round desc;
