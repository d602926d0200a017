"""English-like prose from a word model, with the redundancy that real text has.

Common words and word forms are drawn by Zipf's law into a fixed stock of sentences; prose is a
seeded draw from that stock. It compresses like English, and making it costs little per byte.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from random import Random

_COMMON = """
the of and to in is that for it as with on be this by are at from or an have not we you your our
will has was can if all but more new they which one about when please been their would there what
so up out also time do any may other than into only some its no were them these over after most us
then make just like first how many well way even because back here now where much before should
each those through very still such between next last both while under never again without against
""".split()

_STEMS = """
account answer approach arrange assign backup balance board book branch bridge budget build call
cancel chart check claim clean close collect comment compare confirm connect contract copy cost
count cover credit customer deal decide deliver depart design detail direct discuss doubt draft
edit effect enter estimate event exchange expect explain extend factor field figure file final
follow form garden gather ground group harbour help hold house improve inform inspect invoice join
journal kitchen letter level light list local market master matter measure meet member mention mill
minute model month mount north note number offer office open order outline paper partner pattern
plan point port post prepare present press price print process project protect public question
quote rail range reach record region release remain remind repair reply report request reserve
result return review river room route sample schedule season second section select send server
service settle share ship show sign site sound source stand start station stock store stream
street summer supply support survey switch system table task team test ticket topic total trade
train transfer travel update value visit volume wait water week winter wonder work yard
""".split()

_ENDINGS = ("s", "ed", "ing")

FOREIGN = {
    "us-ascii": (),
    "iso-8859-1": (
        "Mit freundlichen Grüßen",
        "Rückmeldung für die nächste Sitzung",
        "La réunion est reportée à jeudi",
        "Veuillez agréer nos salutations distinguées",
        "El año próximo habrá más señales",
        "Överföringen är färdig på måndag",
    ),
    "windows-1252": (
        "“Nothing is lost” – or so they say",
        "The price is €1.200 – before tax…",
        "Don’t reply to this message",
    ),
    "utf-8": (
        "Grüße aus der Werkstatt 🛠️",
        "Příští schůzka je v úterý",
        "Η συνάντηση αναβάλλεται",
        "会議の資料を添付します",
        "Заседание переносится на четверг",
        "Toplantı yarın öğleden sonra",
        "תודה על ההודעה",
    ),
    "koi8-r": (
        "Отчёт за третий квартал во вложении",
        "Просим подтвердить получение",
        "Заседание переносится на четверг",
    ),
    "iso-2022-jp": (
        "会議の資料を添付します",
        "お世話になっております",
        "ご確認をお願いいたします",
    ),
}
"""Phrases that only the charset (or a wider one) can hold, by charset."""

_STOCK = 20_000
_SENTENCES_A_PARAGRAPH = 10
_FOREIGN_EVERY = 8


@cache
def vocabulary() -> tuple[str, ...]:
    """All words, the most frequent first."""
    return (*_COMMON, *_word_forms())


def _word_forms() -> list[str]:
    """The words that carry a meaning and their forms, in the order of their frequency."""
    forms = _STEMS + [_inflected(stem, ending) for ending in _ENDINGS for stem in _STEMS]
    Random("vocabulary").shuffle(forms)
    return forms


def _inflected(stem: str, ending: str) -> str:
    return (stem[:-1] if stem[-1] == "e" and ending != "s" else stem) + ending


@cache
def _sentences() -> tuple[tuple[str, ...], float]:
    """The stock of sentences and their mean length in characters."""
    random = Random("sentences")
    words = vocabulary()
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    stock = []
    for _ in range(_STOCK):
        drawn = random.choices(words, cum_weights=weights, k=random.randint(4, 10))
        stock.append(" ".join(drawn).capitalize() + ".")
    return tuple(stock), sum(map(len, stock)) / _STOCK


def phrase(random: Random, words: int, charset: str = "us-ascii") -> str:
    """A few words, as subjects and titles are; a foreign phrase where *charset* is not ASCII."""
    if FOREIGN[charset]:
        return random.choice(FOREIGN[charset])
    return " ".join(random.choices(_STEMS, k=words)).capitalize()


def prose(random: Random, size: int, charset: str = "us-ascii") -> str:
    """About *size* characters in lines and paragraphs, all of which *charset* can hold."""
    stock, mean = _sentences()
    picked = random.choices(stock, k=int(size / (mean + 1) * 1.05) + 4)
    for place in range(2, len(picked), _FOREIGN_EVERY) if FOREIGN[charset] else ():
        picked[place] = random.choice(FOREIGN[charset])
    lines = [f"{left} {right}" for left, right in zip(picked[::2], picked[1::2], strict=False)]
    step = _SENTENCES_A_PARAGRAPH // 2
    paragraphs = ("\n".join(lines[at : at + step]) for at in range(0, len(lines), step))
    return "\n\n".join(paragraphs)[: max(size - 1, 0)] + "\n"
