-- Purpose: the usable battles of the lake, once for every scope that they count in. All ratings and win rates start here.
-- Grain: scope, position.
-- Inputs: battles; described, the rows of instructions/described.
-- Parameters: $round (last round that counts), $arenas (list), $breakdowns (list, out of category, difficulty, language,
--   turn, judge, round).
-- Method: every arena is a scope ('wizard_arena'), and so is every value of a breakdown in it
--   ('wizard_arena/category=math'). Difficulty is cut into easy (below 4), medium (below 7) and hard; the breakdown round
--   holds the battles of $round alone. Unusable battles count nowhere; without a value (difficulty unknown) a battle is
--   in no scope of that breakdown.
--   position is the order in which online Elo plays: round, stage (sft, dpo, ppo), instruction, turn, pair, judge.
-- Source: scopes are ours; the paper rates the whole set and, in a figure, the categories.
with usable_battles as (
    select
        *,
        case winner when 'model_a' then 1.0 when 'tie' then 0.5 else 0.0 end::double as score
    from battles
    where round <= $round and list_contains($arenas, arena) and winner in ('model_a', 'model_b', 'tie')
),

attributed_battles as (
    select
        usable_battles.*,
        map {
            'category': category,
            'difficulty': case
                when difficulty < 4 then 'easy'
                when difficulty < 7 then 'medium'
                when difficulty is not null then 'hard'
            end,
            'language': language,
            'turn': turn::varchar,
            'judge': judge_id,
            'round': if(round = $round, round, null)
        } as attributes
    from usable_battles
    left join described using (instruction_id)
),

memberships as (
    select
        *,
        unnest(list_prepend(
            arena,
            list_transform(
                list_filter($breakdowns::varchar[], lambda name: attributes[name] is not null),
                lambda name: arena || '/' || name || '=' || attributes[name]
            )
        )) as scope
    from attributed_battles
)

select
    scope,
    row_number() over (
        partition by scope
        order by
            round,
            list_position(['sft', 'dpo', 'ppo'], stage),
            instruction_id,
            turn,
            model_a,
            model_b,
            judge_id
    ) as position,
    instruction_id,
    model_a,
    model_b,
    score,
    length_a::double as length_a,
    length_b::double as length_b,
    headers_a::double as headers_a,
    headers_b::double as headers_b,
    bold_a::double as bold_a,
    bold_b::double as bold_b,
    lists_a::double as lists_a,
    lists_b::double as lists_b
from memberships
order by scope, position;
