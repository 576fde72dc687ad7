-- Purpose: figures of a batch of win rates: do they add up.
-- Grain: subject: method.
-- Inputs: staged_win_rates (rows that wait for their audit).
-- Parameters: none.
-- Method: wrong_sums: wins, ties and losses are not the battles. wrong_rates: the rate of a pair is not its wins and half its ties.
--   one_sided: pairs that are there in one direction only, or with other counts in the other. Only for method pairwise.
-- Source: none; bookkeeping.
with pairs as (
    select
        batch.method,
        batch.wins + batch.ties + batch.losses <> batch.n as wrong_sum,
        abs(batch.rate - (batch.wins + batch.ties / 2) / nullif(batch.n, 0)) > 1e-6 as wrong_rate,
        coalesce(mirror.wins <> batch.losses or mirror.ties <> batch.ties, true) as one_sided
    from staged_win_rates as batch
    left join staged_win_rates as mirror
        on mirror.scope = batch.scope
        and mirror.method = batch.method
        and mirror.model_a = batch.model_b
        and mirror.model_b = batch.model_a
    where batch.method = 'pairwise'
)

select
    method as subject,
    count_if(wrong_sum) as wrong_sums,
    count_if(wrong_rate) as wrong_rates,
    count_if(one_sided) as one_sided
from pairs
group by method
order by subject;
