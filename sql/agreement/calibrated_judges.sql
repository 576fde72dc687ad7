-- Purpose: the judges that have shown on pairs labelled by people that they may be trusted.
-- Grain: judge_id.
-- Inputs: judge_cards.
-- Parameters: $min_judge_agreement (quality.min_judge_agreement, 0 to 1; 0: any card will do).
-- Method: a judge may have cards on several datasets: all of them must reach the limit, over all categories.
-- Source: ours.
select
    judge_id,
    min(agreement) as lowest_agreement
from judge_cards
where category = 'overall'
group by judge_id
having min(agreement) >= $min_judge_agreement
order by judge_id;
