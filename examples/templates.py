"""Writes train.jsonl and wizard_arena.jsonl, the example instructions, from handwritten.jsonl and the templates below.

    python examples/templates.py

A family yields distinct tasks with a computed answer and a checker; the first ``TRAIN`` go to train.jsonl, the next to
the held-out wizard_arena.jsonl. Every choice is seeded with the family's name: the files come out the same each time.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
TRAIN = 8
TRIES = 1_000  # draws without a new task after which a family counts as used up


class Task(NamedTuple):
    """``values``: what was drawn; no two tasks of a family share them."""

    values: Any
    prompt: str
    reference: str
    checker: dict[str, Any]


class Family(NamedTuple):
    name: str
    category: str
    difficulty: int
    test: int
    draw: Callable[[random.Random, int], Task]  # (seeded generator, number of the try)


NAMES = [
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gita",
    "Hugo",
    "Ines",
    "Jon",
    "Kira",
    "Leo",
    "Mara",
    "Olga",
    "Paul",
]
CITIES = ["Oslo", "Lima", "Cairo", "Porto", "Quito", "Delhi", "Turin", "Sofia", "Accra", "Kyoto", "Perth", "Bern"]
FRUITS = ["apple", "banana", "cherry", "fig", "grape", "kiwi", "lemon", "mango", "orange", "peach", "pear", "plum"]
ANIMALS = ["badger", "camel", "deer", "eagle", "fox", "goat", "horse", "lizard", "otter", "rabbit", "swan", "tiger"]
THINGS = ["apples", "books", "coins", "pencils", "shells", "stamps", "cards", "buttons", "keys", "marbles"]
PHRASES = (
    "the train is late",
    "open the red door",
    "we sail at noon",
    "bring warm socks",
    "snow falls on the hill",
    "the tea is ready",
    "mind the small step",
    "a cat sleeps here",
    "keep the window shut",
    "turn left at the mill",
    "the shop is closed",
    "feed the grey horse",
)
TOPICS = ["river", "bridge", "garden", "winter", "market", "forest", "beach", "storm", "village", "harbour"]


def number(value: float, only: bool = True) -> dict[str, Any]:
    return {"type": "number", "value": value, "only": only}


def contains(answer: str, others: Iterable[str] = ()) -> dict[str, Any]:
    return {"type": "contains", "all": [answer], "none": sorted({*others} - {answer})}


def exact(*values: str, ignore_case: bool = True) -> dict[str, Any]:
    return {"type": "exact", "value": values[0] if len(values) == 1 else list(values), "ignore_case": ignore_case}


def listing(words: list[str]) -> dict[str, Any]:
    return exact(", ".join(words), ",".join(words))


def arithmetic(rng: random.Random, n: int) -> Task:
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    if n % 2:
        return Task((a, b), f"What is {a} + {b}? Answer with the number only.", str(a + b), number(a + b))
    return Task((a, b), f"How much is {a} + {b}?", f"{a} + {b} = {a + b}", number(a + b, only=False))


def story(rng: random.Random, n: int) -> Task:
    name, thing, a, b = rng.choice(NAMES), rng.choice(THINGS), rng.randint(2, 9), rng.randint(2, 6)
    question = f"{name} has {a} {thing} and gets {b} more {thing}. How many {thing} does {name} have?"
    if n % 2:
        return Task((a, b), f"{question} Reply with just the number.", str(a + b), number(a + b))
    return Task((a, b), question, f"{name} has {a} + {b} = {a + b} {thing}.", number(a + b, only=False))


def order(rng: random.Random, n: int) -> Task:
    first, second = rng.sample(NAMES, 2)
    more, less = rng.choice((("taller", "shorter"), ("older", "younger"), ("faster", "slower")))
    same = rng.random() < 0.5
    answer = "Yes" if n % 2 else "No"
    left, right = (second, first) if same == (answer == "No") else (first, second)
    question = f"{left} {more if same else less} than {right}"
    return Task(
        (first, second), f"{first} is {more} than {second}. Is {question}? Answer yes or no.", answer, exact(answer)
    )


def sorting(rng: random.Random, n: int) -> Task:
    words = rng.sample(ANIMALS, 3)
    if n % 2:
        answer = words
        prompt = f"Write these animals separated by commas, without any other word: {' and '.join(words)}"
    else:
        answer = sorted(words)
        prompt = f"Sort these words from A to Z, separate them by commas, and write nothing else: {', '.join(words)}"
    return Task(tuple(sorted(words)), prompt, ", ".join(answer), listing(answer))


def counting(rng: random.Random, n: int) -> Task:
    words = rng.sample(FRUITS, rng.randint(2, 5))
    if n % 2:
        prompt = f"How many fruits are in this list: {', '.join(words)}? Answer with the number only."
        return Task(tuple(words), prompt, str(len(words)), number(len(words)))
    word = words[0]
    prompt = f'What does this Python line print? Give the output only: print(len("{word}"))'
    return Task(word, prompt, str(len(word)), number(len(word)))


def json_object(rng: random.Random, n: int) -> Task:
    name, city, age = rng.choice(NAMES), rng.choice(CITIES), rng.randint(20, 70)
    value: dict[str, Any] = {"name": name, "city": city} if n % 2 else {"name": name, "age": age}
    other = f"city {city}" if n % 2 else f"age {age}"
    keys = " and ".join(f'"{key}"' for key in value)
    prompt = f"Write a JSON object with the keys {keys} for a person with the name {name} and the {other}. Only JSON."
    return Task((name, other), prompt, json.dumps(value), {"type": "json", "equals": value})


def json_array(rng: random.Random, n: int) -> Task:
    words = rng.sample(FRUITS, 3)
    prompt = f"Write these words as a JSON array of strings, without any explanation: {', '.join(words)}"
    return Task(tuple(words), prompt, json.dumps(words), {"type": "json", "equals": words})


def field(rng: random.Random, n: int) -> Task:
    name, city, thing, price = rng.choice(NAMES), rng.choice(CITIES), rng.choice(THINGS), rng.randint(11, 95)
    text = f"{name} bought {thing} in {city} for {price} euros."
    if n % 2 == 0:
        question, sentence = f"Who bought the {thing}?", f"{name} bought the {thing}."
        # The name alone proves nothing: "bought by a friend of Ada" holds it too.
        checker = {"type": "regex", "pattern": rf"(.*\bby )?{name}\b.*"}
        return Task((name, city, price), f"{text} {question}", sentence, checker)
    question, answer, checker = (
        ("In which city was that? Answer with the city only.", city, exact(city)),
        ("Who bought something? Answer with the name only.", name, exact(name)),
        ("How many euros was it? Answer with the number only.", str(price), number(price)),
    )[n % 3]
    return Task((name, city, price), f"{text} {question}", answer, checker)


def pick(rng: random.Random, n: int) -> Task:
    animals, fruit = rng.sample(ANIMALS, 2), rng.sample(FRUITS, 3)
    text = f"The {animals[0]} ate one {fruit[0]} and one {fruit[1]}, and the {animals[1]} ate one {fruit[2]}."
    what, answer = (("fruits", fruit), ("animals", animals))[n % 2]
    prompt = f'List the {what} named in this text, separated by commas, and nothing else: "{text}"'
    return Task((*animals, *fruit), prompt, ", ".join(answer), listing(answer))


def units(rng: random.Random, n: int) -> Task:
    small, big, factor = rng.choice(
        (
            ("minutes", "hours", 60),
            ("days", "weeks", 7),
            ("centimetres", "metres", 100),
            ("grams", "kilograms", 1000),
            ("months", "years", 12),
        )
    )
    k = rng.randint(2, 4)
    question = f"How many {small} are {k} {big}?"
    if n % 2:
        return Task((big, k), f"{question} Answer with the number only.", str(k * factor), number(k * factor))
    answer = f"{k} {big} are {k} * {factor} = {k * factor} {small}."
    return Task((big, k), question, answer, number(k * factor, only=False))


CLASSES = {
    "fish": ["salmon", "trout", "shark", "herring"],
    "bird": ["eagle", "sparrow", "penguin", "owl"],
    "mammal": ["dog", "whale", "horse", "bat"],
}


def classify(rng: random.Random, n: int) -> Task:
    kind = tuple(CLASSES)[n % 3]
    animal = rng.choice(CLASSES[kind])
    if n % 2:
        prompt = f"Fish, bird or mammal: which one is the {animal}? Answer with one word."
        return Task(animal, prompt, kind.capitalize(), exact(kind))
    article = "an" if animal[0] in "aeiou" else "a"
    prompt = f"Is {article} {animal} a fish, a bird or a mammal?"
    return Task(animal, prompt, f"The {animal} is a {kind}.", contains(kind, CLASSES))


def capitals(rng: random.Random, n: int) -> Task:
    phrase = PHRASES[n - 1]
    prompt = f"Rewrite this in capital letters and write nothing else: {phrase}"
    return Task(phrase, prompt, phrase.upper(), exact(phrase.upper(), ignore_case=False))


OPENINGS = {
    "Today": "Today the {} looks peaceful in the soft light.",
    "Once": "Once I stood beside the {} and forgot the time.",
    "Nobody": "Nobody in our family forgets the {} we love.",
}
ENDINGS = {
    "home": "The path along the {} always leads me home.",
    "slowly": "The light over the {} fades slowly.",
}


def opening(rng: random.Random, n: int) -> Task:
    topic = TOPICS[n - 1]
    short = {"type": "word_count", "max": 15}
    if n % 2:
        word = rng.choice(tuple(OPENINGS))
        ask, text, edge = f'Start with the word "{word}".', OPENINGS[word], {"type": "starts_with", "value": word}
    else:
        word = rng.choice(tuple(ENDINGS))
        ask, text, edge = f'The last word must be "{word}".', ENDINGS[word], {"type": "ends_with", "value": f"{word}."}
    prompt = f'Write one short sentence with the word "{topic}", at most 15 words. {ask}'
    named = {"type": "contains", "all": [topic]}
    return Task(topic, prompt, text.format(topic), {"type": "all_of", "checkers": [edge, named, short]})


def parrot(rng: random.Random, n: int) -> Task:
    phrase = f"{PHRASES[-n].capitalize()}, {rng.choice(NAMES)}!"
    if n % 2:
        prompt = f"You are a parrot. Repeat exactly what you hear and say nothing else. You hear: {phrase}"
    else:
        prompt = f"You are an echo. Repeat this sentence exactly: {phrase}"
    return Task(phrase, prompt, phrase, exact(phrase, ignore_case=False))


ROLES = {
    "pirate": ("Ahoy!", "Ahoy! Hoist the sails, for we leave for {} tonight."),
    "king": ("Hear me!", "Hear me! My royal coach leaves for {} at dawn."),
    "robot": ("Beep!", "Beep! My wheels are set to roll to {}."),
    "cowboy": ("Howdy!", "Howdy! I am saddling my horse and riding to {}."),
}


def voice(rng: random.Random, n: int) -> Task:
    role, city = rng.choice(tuple(ROLES)), CITIES[n - 1]
    call, text = ROLES[role]
    prompt = f'You are a {role}. Tell your friends in at most 15 words that you travel to {city}. Begin with "{call}"'
    checks = [
        {"type": "starts_with", "value": call},
        {"type": "contains", "all": [city]},
        {"type": "word_count", "max": 15},
    ]
    return Task(city, prompt, text.format(city), {"type": "all_of", "checkers": checks})


ARTISTS = {
    "painter": ("Vincent van Gogh", "Claude Monet", "Rembrandt", "Frida Kahlo"),
    "composer": ("Mozart", "Beethoven", "Bach", "Chopin"),
    "writer": ("Charles Dickens", "Jane Austen", "Leo Tolstoy", "Mark Twain"),
}


def artist(rng: random.Random, n: int) -> Task:
    kind = tuple(ARTISTS)[n % 3]
    who = rng.choice(ARTISTS[kind])
    if n % 2:
        prompt = f"Painter, composer or writer: what was {who}? Answer with one word."
        return Task(who, prompt, kind.capitalize(), exact(kind))
    prompt = f"Was {who} a painter, a composer or a writer?"
    return Task(who, prompt, f"{who} was a {kind}.", contains(kind, ARTISTS))


EVENTS = {
    "the Moon landing": 1969,
    "the French Revolution": 1789,
    "the fall of the Berlin Wall": 1989,
    "the first flight of the Wright brothers": 1903,
    "Columbus reaching America": 1492,
    "the Great Fire of London": 1666,
}


def dating(rng: random.Random, n: int) -> Task:
    (one, first), (two, second) = rng.sample(sorted(EVENTS.items()), 2)
    which, answer = ("earlier", min(first, second)) if n % 2 else ("later", max(first, second))
    prompt = f"In {first} came {one}, in {second} came {two}. Which year is {which}? Answer with the year only."
    return Task((one, two), prompt, str(answer), number(answer))


PLACES = {
    "a museum": ("Paintings", "Statues", "Old coins", "Fossils"),
    "a library": ("Books", "Maps", "Newspapers", "Desks"),
    "a theatre": ("A stage", "Curtains", "Seats", "Costumes"),
    "a castle": ("Towers", "A gate", "Thick walls", "A well"),
    "a school": ("Desks", "Books", "Chalk", "A bell"),
    "a concert hall": ("A stage", "Seats", "A piano", "Lights"),
    "a temple": ("Columns", "Statues", "Candles", "Steps"),
    "a town hall": ("Offices", "A clock", "Flags", "A large hall"),
    "an old market": ("Stalls", "Baskets", "Scales", "Spices"),
    "an archive": ("Letters", "Maps", "Photographs", "Shelves"),
}


def bullets(rng: random.Random, n: int) -> Task:
    place, items = sorted(PLACES.items())[n - 1]
    k = rng.randint(2, 4)
    amount = ("two", "three", "four")[k - 2]
    prompt = f'Name exactly {amount} things found in {place}, one per line. Start each line with "- ". List only.'
    short = {"type": "word_count", "max": 5 * k}
    checks = [{"type": "list_items", "count": k, "style": "dash"}, short]
    return Task(place, prompt, "\n".join(f"- {item}" for item in items[:k]), {"type": "all_of", "checkers": checks})


OPPOSITES = {
    "hot": "cold",
    "early": "late",
    "empty": "full",
    "open": "closed",
    "wet": "dry",
    "loud": "quiet",
    "deep": "shallow",
    "sweet": "bitter",
}


def opposite(rng: random.Random, n: int) -> Task:
    word, answer = tuple(OPPOSITES.items())[n - 1]
    return Task(word, f"Which word means the opposite of {word}? One word, please.", answer, exact(answer))


def tickets(rng: random.Random, n: int) -> Task:
    child, adult, children, adults = rng.randint(2, 3), rng.randint(4, 6), rng.randint(1, 3), rng.randint(2, 3)
    total = child * children + adult * adults
    family = f"{adults} adults and {children} {'child' if children == 1 else 'children'}"
    prompt = f"You are a ticket machine: children pay {child} euros, adults {adult}. Say the total for {family}, as a number."
    return Task((child, adult, children, adults), prompt, str(total), number(total))


DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def weekday(rng: random.Random, n: int) -> Task:
    today, later = rng.randrange(len(DAYS)), rng.randint(2, 5)
    answer = DAYS[(today + later) % len(DAYS)]
    checker = contains(answer, {*DAYS} - {DAYS[today]})
    return Task((today, later), f"If today is {DAYS[today]}, which day comes in {later} days?", answer, checker)


def sequence(rng: random.Random, n: int) -> Task:
    start, step = rng.randint(1, 6), rng.randint(2, 9)
    shown = ", ".join(str(start + step * place) for place in range(4))
    answer = start + step * 4
    return Task((start, step), f"Which number follows? {shown}", str(answer), number(answer, only=False))


def expression(rng: random.Random, n: int) -> Task:
    a, b = rng.randint(10, 40), rng.randint(3, 7)
    sign, answer = ("%", a % b) if n % 2 else ("//", a // b)
    return Task((sign, a, b), f"Evaluate in Python: {a} {sign} {b}", str(answer), number(answer, only=False))


def closing(rng: random.Random, n: int) -> Task:
    hours = [(day, rng.randint(8, 10), rng.randint(15, 19)) for day in rng.sample(DAYS, 3)]
    day, _, end = hours[n % 3]
    table = "; ".join(f"{name} {opens}-{closes}" for name, opens, closes in hours)
    return Task(tuple(hours), f"Hours: {table}. When do they close on {day}?", f"At {end}.", number(end, only=False))


PLANETS = ["Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"]  # from the Sun outwards


def planet(rng: random.Random, n: int) -> Task:
    one, two = rng.sample(range(len(PLANETS)), 2)
    which, place = ("nearer to", min(one, two)) if n % 2 else ("farther from", max(one, two))
    pair = [PLANETS[one], PLANETS[two]]
    prompt = f"{pair[0]} or {pair[1]}: name the planet {which} the Sun."
    return Task((one, two), prompt, PLANETS[place], contains(PLANETS[place], pair))


COUNTRIES = {
    "Oslo": "Norway",
    "Lima": "Peru",
    "Cairo": "Egypt",
    "Porto": "Portugal",
    "Turin": "Italy",
    "Kyoto": "Japan",
    "Accra": "Ghana",
    "Bern": "Switzerland",
}


def country(rng: random.Random, n: int) -> Task:
    city, answer = tuple(COUNTRIES.items())[n - 1]
    return Task(
        city, f"{city} is a city of which country?", f"{city} is in {answer}.", contains(answer, COUNTRIES.values())
    )


FAMILIES = (
    Family("arithmetic", "math", 1, 2, arithmetic),
    Family("story", "math", 2, 2, story),
    Family("order", "reasoning", 3, 2, order),
    Family("sorting", "reasoning", 4, 1, sorting),
    Family("counting", "coding", 3, 1, counting),
    Family("json-object", "coding", 3, 2, json_object),
    Family("json-array", "coding", 3, 2, json_array),
    Family("field", "extraction", 2, 2, field),
    Family("pick", "extraction", 3, 2, pick),
    Family("units", "stem", 2, 1, units),
    Family("classify", "stem", 2, 2, classify),
    Family("capitals", "writing", 2, 2, capitals),
    Family("opening", "writing", 4, 1, opening),
    Family("parrot", "roleplay", 2, 2, parrot),
    Family("voice", "roleplay", 4, 2, voice),
    Family("artist", "humanities", 2, 2, artist),
    Family("dating", "humanities", 3, 1, dating),
    Family("bullets", "humanities", 3, 1, bullets),
    # Unlike anything in the test set: decontamination leaves them.
    Family("opposite", "writing", 2, 0, opposite),
    Family("tickets", "roleplay", 4, 0, tickets),
    Family("weekday", "reasoning", 3, 0, weekday),
    Family("sequence", "math", 2, 0, sequence),
    Family("expression", "coding", 4, 0, expression),
    Family("closing", "extraction", 2, 0, closing),
    Family("planet", "stem", 2, 0, planet),
    Family("country", "humanities", 1, 0, country),
)


def tasks(family: Family) -> Iterator[Task]:
    """Distinct tasks of the family; the caller takes what it needs. Raises ValueError when the family has no more."""
    rng = random.Random(family.name)
    seen: set[Any] = set()
    for number_of_task in count(1):
        for _ in range(TRIES):
            task = family.draw(rng, number_of_task)
            if task.values not in seen:
                break
        else:
            raise ValueError(f"family {family.name} yields {len(seen)} distinct tasks: lower TRAIN or its `test`")
        seen.add(task.values)
        yield task


def line(family: Family, n: int, task: Task) -> dict[str, Any]:
    return {
        "id": f"{family.name}-{n:03d}",
        "category": family.category,
        "language": "en",
        "difficulty": family.difficulty,
        "license": "CC0-1.0",
        "conversation": [{"role": "user", "content": task.prompt}],
        "reference": [task.reference],
        "checker": [task.checker],
    }


def build() -> dict[str, str]:
    """Text of each file by name."""
    lines: dict[str, list[dict[str, Any]]] = {"train": [], "wizard_arena": []}
    for text in (HERE / "handwritten.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        lines[row.pop("split")].append(row)
    for family in FAMILIES:
        for n, task in zip(count(1), islice(tasks(family), TRAIN + family.test)):
            lines["train" if n <= TRAIN else "wizard_arena"].append(line(family, n, task))
    return {
        f"{split}.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        for split, rows in lines.items()
    }


if __name__ == "__main__":
    for name, text in build().items():
        (HERE / name).write_text(text, encoding="utf-8", newline="\n")
