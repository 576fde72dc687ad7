"""Read battles: choose two models, a result and a category; see both answers and what the judge said.

    marimo run examples/battles.py

It shows the newest release of the lake that `arena.yaml` or ARENA_ROOT names, and changes nothing.
"""

import marimo

app = marimo.App(width="medium", app_title="Battles")


@app.cell
def _():
    from html import escape

    import marimo as mo

    from arena_etl import config
    from arena_etl.lake import sql
    from arena_etl.lake.delta import Lake
    from arena_etl.lake.releases import resolve

    lake = Lake.open(config.load(), create=False)
    connection = lake.connect(versions=resolve(lake))
    sql.materialize(connection, "described", "instructions/described")
    return connection, escape, mo


@app.cell
def _(connection, mo):
    models = (
        connection.sql("select distinct unnest([model_a, model_b]) as model from battles order by model")
        .pl()["model"]
        .to_list()
    )
    categories = connection.sql("select distinct category from described order by category").pl()["category"].to_list()
    first = mo.ui.dropdown(models, value=models[0], label="model")
    second = mo.ui.dropdown(models, value=models[-1], label="against")
    result = mo.ui.dropdown(["any", "won", "lost", "tie", "unusable"], value="any", label="which it")
    category = mo.ui.dropdown(["all", *categories], value="all", label="category")
    mo.hstack([first, second, result, category], justify="start")
    return category, first, result, second


@app.cell
def _(category, connection, first, mo, result, second):
    battles = connection.sql(
        """
        select
            case winner when 'tie' then 'tie' when 'unusable' then 'unusable'
                when if(model_a = $first, 'model_a', 'model_b') then 'won' else 'lost' end as result,
            described.category,
            instructions.conversation[turn].content as instruction,
            turn,
            if(model_a = $first, mean_a, mean_b) as score,
            if(model_a = $first, mean_b, mean_a) as other_score,
            battles.round,
            stage,
            arena,
            instruction_id
        from battles
        inner join instructions using (instruction_id)
        inner join described using (instruction_id)
        where [$first, $second] in ([model_a, model_b], [model_b, model_a])
            and (result = $result or $result = 'any')
            and (described.category = $category or $category = 'all')
        order by battles.round desc, abs(mean_a - mean_b) desc, instruction_id, turn
        """,
        params={"first": first.value, "second": second.value, "result": result.value, "category": category.value},
    ).pl()
    table = mo.ui.table(battles, selection="single", initial_selection=[0] if battles.height else [], page_size=8)
    mo.vstack([mo.md(f"{battles.height:,} battles; choose one"), table])
    return battles, table


@app.cell
def _(connection, first, second, table):
    chosen = table.value.to_dicts()[0] if table.value.height else None
    key = {name: chosen[name] for name in ("instruction_id", "turn")} if chosen else None
    answers = games = None
    if key:
        answers = dict(
            connection.execute(
                "select contestant_id, any_value(text order by round) from responses "
                "where instruction_id = $instruction_id and turn = $turn group by all",
                key,
            ).fetchall()
        )
        games = connection.sql(
            """
            select judge_id, if(shown_first = 'model_a', model_a, model_b) as shown_first, model_a, score_a, model_b, score_b,
                parse_status, explanation
            from verdicts
            where instruction_id = $instruction_id and turn = $turn
                and [$first, $second] in ([model_a, model_b], [model_b, model_a])
            order by judge_id, shown_first
            """,
            params={**key, "first": first.value, "second": second.value},
        ).pl()
    return answers, chosen, games


@app.cell
def _(answers, chosen, escape, first, games, mo, second):
    def words(title, text):
        """Texts of models are shown as they are: nothing in them is read as HTML or Markdown."""
        shown = escape(text) if text else "<em>no answer</em>"
        return mo.Html(f"<h4>{escape(title)}</h4><div style='white-space: pre-wrap'>{shown}</div>")

    mo.stop(chosen is None, mo.md("No battle of these two."))
    mo.vstack(
        [
            words(f"Instruction ({chosen['category']}, turn {chosen['turn']})", chosen["instruction"]),
            mo.hstack(
                [words(each.value, answers.get(each.value)) for each in (first, second)], widths="equal", align="start"
            ),
            mo.md("#### What the judge said"),
            mo.ui.table(games, selection=None),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
