-- Purpose: the cards of the judges that a leaderboard rests on.
-- Grain: judge_id, dataset, category; one row without a dataset for a judge that has no card.
-- Inputs: verdicts, battles, judge_cards.
-- Parameters: $round (null: the newest), $scope (of the leaderboard; its arena counts).
-- Method: every judge model that gave a verdict in the arena up to the round. Of recorded battles only judges with a card
--   are shown: most of them are votes of people. Verifiers need no card.
with judges as (
    select judge_id
    from verdicts
    where
        judge_kind = 'model'
        and arena = split_part($scope, '/', 1)
        and round <= coalesce($round::varchar, (select max(round) from verdicts))
    union
    select battles.judge_id
    from battles
    semi join judge_cards using (judge_id)
    where
        battles.recorded_in is not null
        and battles.arena = split_part($scope, '/', 1)
        and battles.round <= coalesce($round::varchar, (select max(round) from battles))
)

select
    judges.judge_id,
    judge_cards.* exclude (judge_id)
from judges
left join judge_cards using (judge_id)
order by judges.judge_id, judge_cards.dataset, judge_cards.category <> 'overall', judge_cards.category;
