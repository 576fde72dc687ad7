-- Purpose: what a model was rated after every round.
-- Grain: round, newest first.
-- Inputs: ratings.
-- Parameters: $model (contestant id).
-- Method: the published Bradley-Terry ratings of the test set. Ratings are relative to who else was on the board, so those of two
--   rounds are not on one scale; reports/rating_history is.
select
    round,
    rating,
    lower,
    upper,
    rank,
    rank_lower,
    rank_upper,
    n,
    flag
from ratings
where model = $model and scope = 'wizard_arena' and method = 'bradley_terry'
order by round desc;
