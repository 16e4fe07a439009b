"""Short unrelated stories, in which "wait" and "hmm" are ordinary words."""

from random import Random

NAMES = ("Anna", "Ben", "Clara", "Tom", "Mara", "Old Jan")
PLACES = ("corner", "gate", "shop", "river", "bridge", "station")
THINGS = ("bus", "boat ride", "rain", "bread", "letter", "train")
TALK = (
    "Wait for the {thing} at the {place}.",
    "{name} will wait near the {place} until the {thing} comes.",
    "They wait and wait, but the {thing} does not come.",
    "Hmm, said {name}, where is the {thing}?",
    "{name} made a small hmm and looked at the {place}.",
    "No one was at the {place} today.",
    "But the {thing} was late again.",
    "No, said {name}, I will not go to the {place}.",
    "Wait, said {name}, the {thing} is here.",
    "Hmm, that is a fine {thing}.",
    "But {name} did not wait for the {thing}.",
    "To wait is hard, said {name}.",
)
PLAIN = (
    "{name} walked to the {place} in the morning.",
    "The {thing} was good and the day was long.",
    "At the {place} {name} met {other}.",
    "{name} and {other} talked about the {thing}.",
    "It was quiet at the {place}.",
    "Then {name} went home.",
    "The {place} is old and the road is long.",
    "In the end they all laughed.",
)


def write_story(rng: Random) -> str:
    """Four to nine sentences."""
    lines = []
    for _ in range(rng.randint(4, 9)):
        name, other = rng.sample(NAMES, 2)
        form = rng.choice(TALK if rng.random() < 0.6 else PLAIN)
        lines.append(form.format(name=name, other=other, place=rng.choice(PLACES), thing=rng.choice(THINGS)))
    return " ".join(lines)
