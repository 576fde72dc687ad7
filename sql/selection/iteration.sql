-- Purpose: the iteration of a round in the paper's count: I1, I2, I3...
-- Grain: one row.
-- Inputs: training_runs.
-- Parameters: $round.
-- Method: the ordinal among the rounds that trained: one more than the earlier rounds in which a stage trained.
-- Source: Arena Learning (arXiv 2407.10627): three iterations, with a threshold K for each.
select count(distinct round) + 1 as iteration
from training_runs
where status = 'trained' and round < $round;
