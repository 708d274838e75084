"""Where a story begins and ends on its page: its standfirst, a machine's summary above it, the comments beneath it.

A room of extract_text. No Beam here: worker processes import this module.
"""

import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Optional

from transforms.html_blocks import HEADINGS, labels_of, names_of
from transforms.walk_page import SENTENCE_END, Block, is_linked

_MOST_STANDFIRSTS = 8
_MOST_APART = 10  # blocks from the first paragraph back to what belongs to it, on a page whose headline is not known
_NAMED_CHARS = 30
_MOST_LEVELS = 12  # from a line outwards to the box that it speaks of
_MOST_DEPTH = 60  # of a standfirst on a page that means well
_STANDFIRST = re.compile(
    r"-(?:standfirst|deck|dek|sub--?title|sub--?head(?:line|ing)?|lead|lede|intro|introduction|chapo|chapeau|sapo"
    r"|entradilla|bajada|copete|vorspann|ingress|excerpts?|summary|abstract)-"
)
_NOTICE_CHARS = 250
_MOST_SUMMARY = 0.4  # of the page's prose
_MOST_BEFORE_SUMMARY = 800  # characters of prose between headline and the notice: a standfirst and captions
_QUOTED = re.compile(r"[\"“”„«»「『]")
_SUMMARY_WORD = (
    r"(?:summar(?:y|ies|i[sz]ed)|key (?:points|takeaways)|zusammen(?:fassung|gefasst)|résumé|resumen|resumo|riassunto"
    r"|sintesi|samenvatting|sammenfatning|sammendrag|sammanfattning|streszczeni|özet|краткое содержание|саммари"
    r"|ملخص|सारांश|要約|摘要|요약)"
)
_MACHINE_WORD = (
    r"(?:(?-i:(?<![A-Za-z])(?:AI|KI|IA|A\.I\.)(?![A-Za-z]))|\bgpt|chatgpt|openai|artifici|künstlich|maschinell"
    r"|yapay zek|нейросет|искусственн|ذكاء|एआई|人工知能|人工智能|인공지능)"
)
_BY_MACHINE = re.compile(
    rf"{_SUMMARY_WORD}.{{0,120}}{_MACHINE_WORD}|{_MACHINE_WORD}.{{0,60}}{_SUMMARY_WORD}", re.IGNORECASE
)
_SUMMARY_BOX = re.compile(
    r"-(?:ai|ki|ia|gpt|sum|summary|bullets?|takeaways|tldr|zusammenfassung|resumen|resume|disclaimer)-"
)
_EXCERPTS = frozenset(["excerpt", "excerpts"])
_LONG_HEADING_CHARS = 80  # a standfirst may be a heading: a sentence, or what follows the headline at once
_MOST_BEFORE = 200  # blocks before a story that are looked at
_LEAST_TITLE_CHARS = 25  # letters, from which on a heading that holds the headline is the headline
_TELLS = re.compile(r"[.!?…:؟।։。！？：][\"'”’»›“‘)\]]*$")
_COMMENTS_CHARS = 70
_MOST_LABELS = 5_000  # short lines that are looked at; no page of the open data has more than a few hundred
_BEFORE_COMMENTS = 300  # characters of prose: above it "Comment" is a kicker
_CAPTION_CHARS = 400
_CREDIT_SIGNS = frozenset(":：/")  # one of which each credit has
_NUMBERED_CAPTION = re.compile(
    r"\W{0,2}(?:abbildung|abb\.|figure|fig\.|figura|рис\.|grafik)\s?\d{0,3}\s?[:：]", re.IGNORECASE
)
_CREDIT = re.compile(
    r"(?:crédits?(?: photos?)?|photo credits?|bildnachweis|bildquelle|fotonachweis|créditos?(?: de (?:las )?fotos?)?)"
    r"\s?[:：] ?[^.!?]{2,80}",
    re.IGNORECASE,
)
_CREDITED_CAPTION = re.compile(
    r"[(\[](?:archiv|symbol|file |handout )?"
    r"(?:photos?|fotos?|fotó|bild(?:er)?|image|picture|grafik|screenshot|crédit photo|фото)"
    r"(?: by| von| de| di)?\s?[:/] ?[^()\[\]]{2,60}[)\]]\.?$",
    re.IGNORECASE,
)
_COMMENTS = (
    r"(?:comments|(?:leser|nutzer)?kommentare|commentaires|comentarios|comentários|commenti|reacties|yorumlar|komentarze"
    r"|комментарии|التعليقات|تعليقات|टिप्पणियाँ|コメント|评论|留言|댓글|replies|responses)"
)
_COMMENT = (
    r"(?:comments?|kommentare?|commentaires?|comentarios?|comentários?|comment[io]|reacties?|yorum|komentarz[ey]?"
    r"|комментари[йяев]{1,2}|تعليقات?|コメント|评论|댓글|repl(?:y|ies)|responses?)"
)
_COUNTED_OR_ASKED_FOR = re.compile(
    rf"\W*(?:(?:\d[\d.,]*|no|(?:bisher |noch )?keine?|aucun|sin|nessun)\s*{_COMMENT}(?: yet)?"
    rf"|(?:total )?{_COMMENT}(?: insgesamt| total| au total)?\s*[(\[:]? ?\d+[)\]]?)\W*"
    r"|\W*(?:leave (?:a|your) (?:reply|comment)s?|(?:post|add) a comment|join the (?:conversation|discussion)"
    r"|be the first to comment|(?:einen )?kommentar (?:schreiben|hinterlassen|abgeben|verfassen)"
    r"|schreiben? sie (?:einen|den ersten) kommentar|schreibe? einen kommentar|(?:laisser|ajouter) un commentaire"
    r"|dej[ae] (?:un|tu|su) comentario|deja una respuesta|lascia un commento|deixe (?:um|seu|o seu) comentário"
    r"|(?:plaats|geef) een reactie|(?:оставить|добавить) комментарий|bir yanıt yazın|yorum yap|dodaj komentarz)\W*",
    re.IGNORECASE,
)
_COMMENTS_ALONE = re.compile(rf"\W*{_COMMENTS}\W*", re.IGNORECASE)


def is_caption(block: Block) -> bool:
    """Whether a block says of itself that it is a picture's: numbered, a credit, or with a credit at its end."""
    text = block.text
    if len(text) > _CAPTION_CHARS or not _CREDIT_SIGNS.intersection(text):
        return False
    return bool(
        _CREDIT.fullmatch(text)
        or _NUMBERED_CAPTION.match(text)
        or _CREDITED_CAPTION.search(text, max(0, len(text) - 100))
    )


def comments_begin(blocks: list[Block], headline: Any) -> Optional[int]:
    """Return the place in `blocks` of the headline of the comments, beneath a story of some length."""
    begin = _place_of(headline, blocks) or 0
    before, left = 0, _MOST_LABELS
    for place in range(begin, len(blocks)):
        block = blocks[place]
        before += block.prose
        is_label = before >= _BEFORE_COMMENTS and len(block.text) <= _COMMENTS_CHARS and not block.flagged
        if not is_label or is_linked(block.text, block.link_chars):
            continue
        left -= 1
        if left < 0:
            break
        if _COUNTED_OR_ASKED_FOR.fullmatch(block.text):
            return place
        # A study has comments as well: theirs begin with what they say, readers' with who and when.
        is_last = place + 1 == len(blocks)
        if _COMMENTS_ALONE.fullmatch(block.text) and (is_last or not blocks[place + 1].prose):
            return place
    return None


def machine_summary(blocks: list[Block], headline: Any, weights: dict[Any, int], total: int) -> Optional[set[Any]]:
    """Return the elements of a box above the story which says that a machine wrote this summary; None without one."""
    begin = _place_of(headline, blocks) or 0
    before = 0
    for block in blocks[begin : begin + _MOST_BEFORE]:
        if len(block.text) <= _NOTICE_CHARS and _BY_MACHINE.search(block.text) and not _QUOTED.search(block.text):
            is_named = False
            for box in _around(block.element, _MOST_LEVELS):
                weight = weights.get(box, 0)
                if weight > _MOST_SUMMARY * total:
                    break
                is_named = is_named or _SUMMARY_BOX.search(names_of(box)) is not None
                if is_named and weight > block.prose:
                    return set(box.iter())
        before += block.prose
        if before > _MOST_BEFORE_SUMMARY:
            break
    return None


def standfirst(
    blocks: list[Block], headline: Any, story: list[Block], description: str, folded: set[str]
) -> list[Block]:
    """Return what stands between the headline and the first paragraph and belongs to the story.

    Args:
        blocks: of the page.
        headline: its element, if known.
        story: what has been found, from its first paragraph on.
        description: letters of what the page says it is about; a line that repeats it is the standfirst.
        folded: letters of the page's headlines.
    """
    if not story:
        return []
    end = next(i for i, b in enumerate(blocks) if b is story[0])
    at = _place_of(headline, blocks)
    begin = None if at is None else at + 1
    told = {b.letters for b in story[:_MOST_BEFORE]}
    found: list[Block] = []
    for position in range(max(0, end - _MOST_BEFORE), end):
        block = blocks[position]
        letters = block.letters
        if len(letters) < 20 or letters in told or letters in folded:
            continue
        described = len(description) >= 30 and (
            letters.startswith(description[:40]) or description.startswith(letters[:60])
        )
        near_headline = begin is None or begin - 8 <= position
        after_headline = end - position <= _MOST_APART if begin is None else begin <= position
        is_next = position + 1 == end and block.element.getparent() is story[0].element.getparent()
        leads = after_headline and (_leads(block, position == begin, folded) or (is_next and _opens(block)))
        if not leads and not (described and near_headline):
            continue
        if any(letters in t or t in letters for t in told if len(t) > 30):
            continue
        told.add(letters)
        found.append(block)
        if len(found) == _MOST_STANDFIRSTS:
            break
    return found


def _leads(block: Block, is_first: bool, folded: set[str]) -> bool:
    """Whether a block between headline and story, the first one there or a later one, belongs to the story."""
    if is_linked(block.text, block.link_chars) or is_caption(block):
        return False
    is_named = len(block.text) >= _NAMED_CHARS and _is_named_standfirst(block)
    if block.flagged:
        return is_named
    if block.tag not in HEADINGS:
        return is_named or block.prose > 0
    if any(len(title) >= _LEAST_TITLE_CHARS and title in block.letters for title in folded):
        return False
    is_told = is_first or SENTENCE_END.search(block.text) is not None
    return is_named or (len(block.text) >= _LONG_HEADING_CHARS and is_told)


def _opens(block: Block) -> bool:
    """Whether the paragraph right above the first one, too short for prose, says something: a salutation, a place."""
    return block.tag == "p" and not block.flagged and bool(_TELLS.search(block.text)) and not block.link_chars


def _is_named_standfirst(block: Block) -> bool:
    """Whether the page calls a block its standfirst; what it labels as something else besides is none."""
    if not any(_STANDFIRST.search(names_of(element)) for element in _around(block.element, 2)):
        return False
    return not block.flagged or all(_EXCERPTS.issuperset(labels_of(e)) for e in _around(block.element, _MOST_DEPTH))


def _place_of(headline: Any, blocks: list[Block]) -> Optional[int]:
    return next((i for i, b in enumerate(blocks) if b.element is headline), None)


def _around(element: Any, levels: int) -> Iterator[Any]:
    """Yield an element and what it is in, outwards."""
    return islice(chain((element,), element.iterancestors()), levels)
