-- Purpose: the usable battles of the lake, once for every scope that they count in. All ratings and win rates start here.
-- Grain: scope, position.
-- Inputs: battles; described, the rows of instructions/described; answer_style, the rows of ratings/answer_style (no
--   rows: the styles are unknown).
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
            memberships.round,
            list_position(['sft', 'dpo', 'ppo'], memberships.stage),
            memberships.instruction_id,
            memberships.turn,
            model_a,
            model_b,
            judge_id
    ) as position,
    memberships.instruction_id,
    model_a,
    model_b,
    score,
    a.length as length_a,
    b.length as length_b,
    a.headers as headers_a,
    b.headers as headers_b,
    a.bold as bold_a,
    b.bold as bold_b,
    a.lists as lists_a,
    b.lists as lists_b
from memberships
left join answer_style as a
    on a.instruction_id = memberships.instruction_id and a.turn = memberships.turn and a.contestant_id = model_a
left join answer_style as b
    on b.instruction_id = memberships.instruction_id and b.turn = memberships.turn and b.contestant_id = model_b
order by scope, position;
