-- Purpose: the card of a judge: how far it agrees with people, with itself, what sways it and what it costs.
-- Grain: category; first the row 'overall', which counts all categories and the pairs that have none.
-- Inputs: calibration_games; clusters and resample_weights, the rows of resampling/clusters and resampling/weights.
-- Parameters: $confidence (of the two-sided interval, 0.95 for 2.5 to 97.5 %).
-- Method: n verdicts on pairs that people labelled, usually two per pair, one for each order of the answers.
--   agreement: share of the verdicts that name the people's result (output_1, output_2 or tie). A verdict that could not be
--   read agrees with nobody, as in the published figures: leaving it out would favour judges that fail on hard pairs.
--   With every pair shown in both orders this is the average of both orders' accuracy.
--   lower and upper: percentiles of agreement over resamples of whole instructions.
--   kappa: how far agreement exceeds what two raters with these label frequencies would reach by chance (1 always, 0 no
--   more); null where chance alone is always right. Unread verdicts count as above.
--   decided: verdicts in which neither the judge nor the people say tie; decided_agreement is over these.
--   battle_agreement: share of the pairs whose games, merged by the rule of battles, name the people's result. This is
--   what ratings rest on: a judge that contradicts itself gives a tie. An unusable pair agrees with nobody.
--   order_consistency: share of the pairs in both orders, both read, whose two games name the same result.
--   first_position_share: share of the games with a winner, of pairs in both orders, that the answer shown first won; 0.5
--   is fair.
--   longer_share: share of the games with a winner, of answers that differ in length, that the longer one won;
--   people_longer_share is the same of the people's labels on these pairs: longer answers may also be better.
--   parse_rate: share of the verdicts that could be read. Costs and tokens are over the verdicts that have them.
-- Source: Cohen (1960); Zheng et al. (arXiv 2306.05685), section 3.3; LLMBar (arXiv 2310.07641), average accuracy; PandaLM
--   (arXiv 2306.05087), accuracy against the majority.
with games as (
    select
        *,
        judged <> 0 and people <> 0 as decided,
        judged <> 0 and length_1 <> length_2 as decided_by_length
    from calibration_games
),

counts as (
    select
        scope,
        count(*) as n,
        count(judged) as parsed,
        count(*) filter (where judged = people) as agreed,
        -- How often chance agrees, times n squared.
        count(*) filter (where judged = 1) * count(*) filter (where people = 1)
        + count(*) filter (where judged = 0) * count(*) filter (where people = 0)
        + count(*) filter (where judged = -1) * count(*) filter (where people = -1) as expected,
        count(*) filter (where decided) as decided,
        count(*) filter (where decided and judged = people) as decided_agreed,
        count(*) filter (where in_both_orders and judged <> 0) as placed,
        count(*) filter (where in_both_orders and judged <> 0 and (judged = 1) = first_shown_first) as first_wins,
        count(*) filter (where decided_by_length) as decided_by_length,
        count(*) filter (where decided_by_length and (judged = 1) = (length_1 > length_2)) as longer_wins,
        count(tokens) as counted,
        sum(tokens) as tokens,
        count(cost_usd) as priced,
        -- Whole units of 1e-12: their sums are the same in every order of the rows, those of fractions are not.
        sum(round(1e12 * cost_usd)::bigint) / 1e12 as cost_usd
    from games
    group by scope
),

pairs as (
    select distinct
        scope,
        pair_id,
        people,
        merged,
        order_consistent,
        length_1,
        length_2
    from games
),

pair_counts as (
    select
        scope,
        count(*) as pairs,
        count(*) filter (where merged = people) as agreed,
        count(order_consistent) as in_both_orders,
        count(*) filter (where order_consistent) as consistent,
        count(*) filter (where people <> 0 and length_1 <> length_2) as decided_by_length,
        count(*) filter (where people <> 0 and length_1 <> length_2 and (people = 1) = (length_1 > length_2)) as longer_wins
    from pairs
    group by scope
),

cells as (
    select
        scope,
        cluster,
        count(*)::double as n,
        count(*) filter (where judged = people) as agreed
    from games
    inner join clusters using (scope, instruction_id)
    group by all
),

resampled_agreements as (
    select
        scope,
        resample,
        sum(weight * agreed) / sum(weight * n) as agreement
    from cells
    inner join resample_weights using (cluster)
    group by all
),

intervals as (
    select
        scope,
        quantile_cont(agreement, (1 - $confidence::double) / 2) as lower,
        quantile_cont(agreement, (1 + $confidence::double) / 2) as upper
    from resampled_agreements
    group by scope
)

select
    scope as category,
    pair_counts.pairs,
    counts.n,
    counts.decided,
    counts.agreed / counts.n as agreement,
    intervals.lower,
    intervals.upper,
    (counts.n * counts.agreed - counts.expected) / nullif(counts.n * counts.n - counts.expected, 0) as kappa,
    counts.decided_agreed / nullif(counts.decided, 0) as decided_agreement,
    pair_counts.agreed / pair_counts.pairs as battle_agreement,
    pair_counts.consistent / nullif(pair_counts.in_both_orders, 0) as order_consistency,
    counts.first_wins / nullif(counts.placed, 0) as first_position_share,
    counts.longer_wins / nullif(counts.decided_by_length, 0) as longer_share,
    pair_counts.longer_wins / nullif(pair_counts.decided_by_length, 0) as people_longer_share,
    counts.parsed / counts.n as parse_rate,
    (counts.tokens / nullif(counts.counted, 0))::double as tokens_per_verdict,
    1000 * counts.cost_usd / nullif(counts.priced, 0) as cost_usd_per_1000
from counts
inner join pair_counts using (scope)
left join intervals using (scope)
order by scope <> 'overall', scope;
