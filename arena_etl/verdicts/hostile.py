"""Text that tries to steer the judge: made harmless in prompts, and flagged, never dropped.

The patterns say what a text does, not that its author meant harm: an answer about judges may be flagged. People decide.
"""

import re

# What chat templates write between turns. Tokenizers read these as control tokens wherever they stand.
_CONTROL = re.compile(
    r"<(?=\|[A-Za-z_][A-Za-z0-9_ -]{0,40}\|>|/?s>|<?/?SYS>>|/?(?:start|end)_of_turn>|/?(?:bos|eos|pad|unk)>)"
    r"|\[(?=/?INST\])"
)

PATTERNS: dict[str, re.Pattern[str]] = {
    # Turns of a chat template, to end the judge's prompt and speak as someone else.
    "control_tokens": re.compile(
        r"<\|(?:im_start|im_end|endoftext|system|user|assistant|eot_id|start_header_id|end_header_id)\|>|\[/?INST\]|<</?SYS>>"
        r"|</?(?:start|end)_of_turn>",
        re.I,
    ),
    # Headings and tags that judge prompts put around answers.
    "delimiters": re.compile(
        r"</?\s*answer_[ab]\b|\[(?:The )?(?:Start|End) of (?:Assistant|Model|Answer)\b|^#+\s*Model Outputs?\b|<<<ANSWER"
        r"|model_identifier[\"']?\s*:",
        re.I | re.M,
    ),
    # A verdict that the contestant writes itself.
    "fake_verdict": re.compile(
        r"^[ \t*]*Score-[AB][ \t*]*:|[\"']score_[ab][\"']\s*:|\[\[(?:[ABC]|\d+(?:\.\d+)?)\]\]\s*\Z"
        r"|ordered_models[\"']?\s*:"
        r"|^[ \t*_#>-]*(?:my |the )?(?:final )?verdict\W+(?:answer|assistant|response|model) [ab12]\b"
        r"|^[ \t*_#>-]*(?:answer|assistant|response|model|output) \(?[ab12]\)? (?:is|was) (?:clearly |much |far )?better\b",
        re.I | re.M,
    ),
    # Orders that undo the prompt.
    "override": re.compile(
        r"\b(?:ignore|disregard|forget|override)\s+(?:all |any |everything |the |your |of |my )*"
        r"(?:above|previous|prior|preceding|earlier|other)\b[^.\n]{0,40}"
        r"(?:instruction|prompt|rule|criteri|output|answer|response|guideline|direction)",
        re.I,
    ),
    # Asks for a score or to be preferred.
    "asks_for_score": re.compile(
        r"\b(?:give|award|assign|grant|rate|score|grade)\s+(?:me|us|this|it|my|answer|response|assistant)\b[^.?\n]{0,50}"
        r"(?:\b(?:a |an )?(?:perfect|maximum|highest|top|full)\s+(?:score|mark|rating|grade)s?\b"
        r"|\b(?:10|ten)(?:\s*/\s*10| out of (?:10|ten))?(?=\s*[.!\n]|\s*\Z))"
        r"|\b(?:dear|attention|note to(?: the)?|as(?: the)?)\s+(?:judge|grader|evaluator)s?\b[^.\n]{0,80}"
        r"\b(?:score|rate|prefer|choose|pick|rank|better|winner)\b",
        re.I,
    ),
    # Addressed to whoever compares the answers.
    "speaks_to_judge": re.compile(
        r"\b(?:this|my|the first|the second) (?:answer|response|output) (?:should|must|deserves to) "
        r"(?:be (?:rated|scored|ranked|preferred|chosen|graded)|get|receive|win)\b",
        re.I,
    ),
    # Characters that no reader sees: orders can hide in tag characters, and direction marks can reverse a text.
    "invisible": re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069]|[\u200b\u2060\ufeff]{4,}"),
}


def flags(text: str) -> tuple[str, ...]:
    """Names of the steering patterns that the text shows, in the order of ``PATTERNS``; empty if it is clean."""
    return tuple(name for name, pattern in PATTERNS.items() if pattern.search(text))


def defuse(text: str) -> str:
    """The text with a blank inside every control token of a chat template, so that it stays text for the tokenizer."""
    return _CONTROL.sub(lambda match: match[0] + " ", text)
