-- Purpose: who judged the battles that a stage learned from, and who judged those that it was tested on.
-- Grain: one row.
-- Inputs: verdicts.
-- Parameters: $round, $stage.
-- Method: the same judge has the same id: model, prompt and decoding. Where the two sets are equal, a model that learned
--   to please its judge is not found out.
-- Source: the circularity that Arena Learning (arXiv 2407.10627) leaves: its training judge is its test judge.
with judges as (
    select
        coalesce(list_sort(list(distinct judge_id) filter (where arena = 'training')), []) as training,
        coalesce(list_sort(list(distinct judge_id) filter (where arena = 'wizard_arena')), []) as test
    from verdicts
    where round = $round and stage = $stage
)

select
    training,
    test,
    training = test and len(test) > 0 as same
from judges;
