-- Purpose: the WizardArena leaderboard for people.
-- Grain: model.
-- Inputs: ratings, models.
-- Parameters: $round (null: the newest rated round).
-- Method: Bradley-Terry ratings of the scope wizard_arena; a model that is not registered shows its id.
with boards as (
    select *
    from ratings
    where scope = 'wizard_arena' and method = 'bradley_terry'
)

select
    boards.model,
    coalesce(models.name, boards.model) as name,
    models.role,
    boards.rating,
    boards.lower,
    boards.upper,
    boards.rank,
    boards.n
from boards
left join models on models.contestant_id = boards.model
where boards.round = coalesce($round::varchar, (select max(round) from boards))
order by boards.rank, boards.model;
