-- Purpose: the examples that a training learns from: those of its stage, and of earlier rounds where they accumulate.
-- Grain: example_id.
-- Inputs: training_sets.
-- Parameters: $round, $stage, $accumulate (whether earlier rounds count).
-- Method: older rounds keep the examples that they selected then; their battles are not fought again.
--   Without an order: the trainers sort by example_id, whatever comes.
-- Source: Arena Learning (arXiv 2407.10627): DPO-I2 learns from D2 and D5, PPO-I2 from D3 and D6.
select *
from training_sets
where stage = $stage and (round = $round or ($accumulate and round < $round));
