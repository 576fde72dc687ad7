-- Purpose: a few selected examples of a stage for people: both answers side by side and what the judge said.
-- Grain: example_id.
-- Inputs: training_sets, responses, verdicts.
-- Parameters: $round, $stage, $size (examples wanted).
-- Method: the clearest example of every category first, then the second ones; of equal margins the smaller example id.
--   What is no part of the training set is looked up: for SFT the loser's answer, for PPO both. Words are those of the parsed games
--   between the two answers, the one that showed the chosen answer first before the other; a judge calls what it sees
--   first A.
with stage_examples as (
    select
        *,
        row_number() over (partition by category order by margin desc, example_id) as place_in_category
    from training_sets
    where round = $round and stage = $stage
),

shown as (
    select
        *,
        row_number() over (order by place_in_category, margin desc, example_id) as position
    from stage_examples
    qualify position <= $size
),

answers as (
    select
        instruction_id,
        turn,
        contestant_id,
        text
    from responses
    where round = $round and stage = $stage and arena = 'training'
),

games as (
    select
        shown.example_id,
        verdicts.judge_id,
        verdicts.shown_first = if(verdicts.model_a = shown.chosen_model, 'model_a', 'model_b') as chosen_first,
        if(verdicts.model_a = shown.chosen_model, score_a, score_b) as chosen_score,
        if(verdicts.model_a = shown.chosen_model, score_b, score_a) as rejected_score,
        coalesce(verdicts.explanation, verdicts.raw_text) as text
    from shown
    inner join verdicts
        on verdicts.instruction_id = shown.instruction_id
        and verdicts.turn = shown.turn
        and verdicts.model_a = least(shown.chosen_model, shown.rejected_model)
        and verdicts.model_b = greatest(shown.chosen_model, shown.rejected_model)
    where
        verdicts.round = $round
        and verdicts.stage = $stage
        and verdicts.arena = 'training'
        and verdicts.parse_status = 'ok'
),

words as (
    select
        example_id,
        list(
            {
                'judge_id': judge_id,
                'chosen_first': chosen_first,
                'chosen_score': chosen_score,
                'rejected_score': rejected_score,
                'text': text
            }
            order by judge_id, chosen_first desc
        ) as words
    from games
    group by example_id
)

select
    shown.example_id,
    shown.category,
    shown.margin,
    shown.prompt,
    coalesce(shown.chosen, winners.text) as chosen,
    coalesce(shown.rejected, losers.text) as rejected,
    shown.chosen_model,
    shown.rejected_model,
    words.words
from shown
left join answers as winners
    on winners.instruction_id = shown.instruction_id
    and winners.turn = shown.turn
    and winners.contestant_id = shown.chosen_model
left join answers as losers
    on losers.instruction_id = shown.instruction_id
    and losers.turn = shown.turn
    and losers.contestant_id = shown.rejected_model
left join words using (example_id)
order by shown.position;
