"""Blocks of cruft of invented publishers set around invented stories, and what is left of them."""

from collections import Counter
from typing import Any, NamedTuple

from transforms.strip_cruft import strip_cruft

Key = tuple[str, str]  # kind and language


class Measured(NamedTuple):
    """What happened to the blocks: by kind and language, lines of the story that went, blocks that stayed."""

    wanted: Counter[Key]
    removed: Counter[Key]
    lost: list[tuple[str, ...]]
    stayed: list[tuple[str, ...]]

    @property
    def share(self) -> float:
        return self.removed.total() / self.wanted.total()

    @property
    def macro(self) -> float:
        return sum(self.removed[key] / self.wanted[key] for key in self.wanted) / len(self.wanted)

    def __str__(self) -> str:
        return f"{self.wanted.total()} blocks, removed {self.share:.4f}, macro {self.macro:.4f}, lost {len(self.lost)}"


def kept(lines: list[str], story: dict[str, Any], language: str) -> list[str]:
    text = "\n".join(lines)
    return strip_cruft(text, title=story["title"], site=None, language=language).text.split("\n")


def arrange(story: list[str], text: str, place: str) -> list[str]:
    block = text.split("\n")
    if place == "prefix":
        return [f"{text} {story[0]}", *story[1:]]
    if place == "suffix":
        return [*story[:-1], f"{story[-1]} {text}"]
    at = {"head": 0, "inline": 2, "tail": len(story)}[place]
    return [*story[:at], *block, *story[at:]]


def measure(blocks: list[dict[str, Any]], stories: dict[str, Any]) -> Measured:
    """Set each block around the story of its language; it counts as removed when exactly the story is left."""
    found = Measured(Counter(), Counter(), [], [])
    for block in blocks:
        key = (block["kind"], block["language"])
        story = stories[block["language"]]
        for text in block["texts"]:
            left = kept(arrange(story["lines"], text, block["place"]), story, block["language"])
            found.wanted[key] += 1
            found.removed[key] += left == story["lines"]
            found.lost.extend((*key, text) for line in story["lines"] if not any(line in piece for piece in left))
            if left != story["lines"]:
                found.stayed.append((*key, block["place"], text))
    for row in found.stayed:
        print("stayed", row)
    return found
