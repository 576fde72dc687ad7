-- Purpose: the games of one judge on labelled pairs, each beside what people said about its pair.
-- Grain: one row per game and scope: 'overall', and the category of the pair where it has one.
-- Inputs: recorded_games (one judge's; instruction_id is the pair_id, model_a the answer shown first, called output_1 or
--   output_2 as in the file), merged_pairs (battles/merge_recorded of them) and labelled_pairs.
-- Parameters: none.
-- Method: results are output_1's: 1 for better, 0 for a tie, -1 for worse; a preference between 0 and 1 counts for the side
--   it leans to. judged: what this game says; merged: what the games of the pair say together, by the rule of battles;
--   null if they could not be read. people: what people said. Lengths are in characters.
--   in_both_orders: the pair was shown in both orders; unknown orders count as one.
-- Source: ours.
with games as (
    select
        pairs.pair_id,
        pairs.instruction_id,
        pairs.category,
        games.model_a = 'output_1' as first_shown_first,
        case when games.model_a = 'output_1' then sign(games.score - 0.5) else sign(0.5 - games.score) end as judged,
        sign(pairs.score - 0.5) as people,
        case merged_pairs.winner when 'model_a' then 1 when 'model_b' then -1 when 'tie' then 0 end as merged,
        merged_pairs.order_consistent,
        length(pairs.output_1) as length_1,
        length(pairs.output_2) as length_2,
        games.tokens,
        games.cost_usd
    from recorded_games as games
    inner join labelled_pairs as pairs on pairs.pair_id = games.instruction_id and pairs.reason is null
    left join merged_pairs on merged_pairs.instruction_id = games.instruction_id
)

select
    unnest(list_distinct(['overall', coalesce(category, 'overall')])) as scope,
    pair_id,
    instruction_id,
    first_shown_first,
    count(*) filter (where first_shown_first) over pair > 0
    and count(*) filter (where not first_shown_first) over pair > 0 as in_both_orders,
    judged::integer as judged,
    people::integer as people,
    merged::integer as merged,
    order_consistent,
    length_1,
    length_2,
    tokens,
    cost_usd
from games
window pair as (partition by pair_id)
order by all;
