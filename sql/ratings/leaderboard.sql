-- Purpose: a leaderboard for people.
-- Grain: model.
-- Inputs: ratings, models.
-- Parameters: $round (null: the newest rated round), $scope, $method.
-- Method: the published ratings; a model that is not registered shows its id.
with boards as (
    select *
    from ratings
    where scope = $scope and method = $method
)

select
    boards.model,
    coalesce(models.name, boards.model) as name,
    models.role,
    boards.rating,
    boards.lower,
    boards.upper,
    boards.rank,
    boards.rank_lower,
    boards.rank_upper,
    boards.n,
    boards.component,
    boards.flag
from boards
left join models on models.contestant_id = boards.model
where boards.round = coalesce($round::varchar, (select max(round) from boards))
order by boards.component, boards.rank, boards.model;
