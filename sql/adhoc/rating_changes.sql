-- Purpose: how the leaderboard moved since the release before.
-- Grain: model.
-- Inputs: ratings and models, now and in the schema before.
-- Variables: none; `--since RELEASE` chooses the release before.
-- Method: Bradley-Terry ratings of the scope wizard_arena after the newest round of each release. A model that is new,
--   or is gone, has nulls on the other side. Ratings are relative: a new strong model lowers all others.
with boards as (
    select
        model,
        rating,
        rank
    from ratings
    where scope = 'wizard_arena' and method = 'bradley_terry'
    qualify round = max(round) over ()
),

earlier_boards as (
    select
        model,
        rating,
        rank
    from before.ratings
    where scope = 'wizard_arena' and method = 'bradley_terry'
    qualify round = max(round) over ()
)

select
    coalesce(boards.model, earlier_boards.model) as model,
    coalesce(models.name, boards.model, earlier_boards.model) as name,
    earlier_boards.rating as rating_before,
    boards.rating as rating_now,
    round(boards.rating - earlier_boards.rating, 9) as change,
    earlier_boards.rank as rank_before,
    boards.rank as rank_now
from boards
full join earlier_boards on earlier_boards.model = boards.model
left join (
    select contestant_id, name from models
    union
    select contestant_id, name from before.models
) as models on models.contestant_id = coalesce(boards.model, earlier_boards.model)
order by boards.rank nulls last, earlier_boards.rank, model;
