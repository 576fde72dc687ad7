-- Purpose: two leaderboards side by side, as points of a plot.
-- Grain: model; only those that both rate.
-- Inputs: leaderboard, reference_leaderboard (one row per model).
-- Method: ratings and bounds as they are; how far they agree is agreement/consistency.
select
    model,
    board.rating,
    board.lower,
    board.upper,
    reference.rating as reference_rating,
    reference.lower as reference_lower,
    reference.upper as reference_upper
from leaderboard as board
inner join reference_leaderboard as reference using (model)
where board.rating is not null and reference.rating is not null
order by board.rating desc, model;
