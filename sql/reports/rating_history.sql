-- Purpose: how good the target's line is after every decision, on one scale.
-- Grain: position; the champion before the first decision, then one row per decision up to the round.
-- Inputs: promotions, models, ratings.
-- Parameters: $round, $target (contestant id of the configured target).
-- Method: Bradley-Terry ratings of the test set as of $round, so that all rows stand on one scale and met the same rivals:
--   ratings are relative, and those of two nights are not comparable. rating_then is what the model's own night published.
--   champion is who held the place after the decision. Only the target's family counts.
with families as (
    select
        contestant_id,
        name,
        family
    from models
),

decisions as (
    select
        promotions.round,
        promotions.stage,
        promotions.candidate,
        promotions.champion as opened_by,
        promotions.decision,
        row_number() over (
            order by promotions.round, list_position(['sft', 'dpo', 'ppo'], promotions.stage), promotions.stage
        ) as position
    from promotions
    inner join families on families.contestant_id = promotions.champion
    -- A contestant id is a name, a hyphen and 8 hex digits; the target's name is its family's.
    where promotions.round <= $round and families.family = left($target, greatest(length($target) - 9, 0))
),

entries as (
    select
        0 as position,
        round,
        'start' as stage,
        opened_by as model,
        'start' as decision,
        opened_by as champion
    from decisions
    where position = 1
    union all
    select
        position,
        round,
        stage,
        candidate as model,
        decision,
        if(decision = 'promoted', candidate, opened_by) as champion
    from decisions
),

boards as (
    select
        round,
        model,
        rating,
        lower,
        upper
    from ratings
    where scope = 'wizard_arena' and method = 'bradley_terry' and round <= $round
),

newest as (
    select * from boards
    qualify round = max(round) over ()
)

select
    entries.position,
    entries.round,
    entries.stage,
    entries.model,
    coalesce(families.name, entries.model) as name,
    entries.decision,
    newest.rating,
    newest.lower,
    newest.upper,
    boards.rating as rating_then,
    entries.champion,
    champions.rating as champion_rating
from entries
left join families on families.contestant_id = entries.model
left join newest on newest.model = entries.model
left join newest as champions on champions.model = entries.champion
left join boards on boards.model = entries.model and boards.round = entries.round
order by entries.position;
