"""What the words of a line, and the kind of rule that takes it, tell of the lines beside it.

The engine asks these where no rule covers a line by itself: is it speech or law, a company's blurb or a field of an
address, the offer above a form or a question to the reader? All patterns are for folded text in small letters.
"""

import re

LEGALESE = re.compile(
    r"liab|warrant|responsib|copyright|disclaim|endors|accura|reliab|rights reserved|third[- ]part|advice|"
    r"not necessarily|republish|haftung|gewähr|verantwort|responsab|garant|derechos|droits|diritti|direitos|"
    r"ответствен|免责|责任|مسؤول|"
    r"risks and uncertainties|differ materially|forward-looking|undertake"
)
BOILERPLATE = re.compile(
    r"\b(?:is|are) (?:an?|the|one of)\b|leading|provider|founded|headquartered|headquarters|visit|learn more|"
    r"more information|www\.|https?:|nyse|nasdaq|ist (?:ein|eine|der|die|das)|gegründet|hauptsitz|"
    r"largest|\bmakers? of\b|\bemploys\b|"
    r"est (?:une?|le|la)|es (?:una?|el|la) |fundada|è (?:un|una|il|la)|leader"
)
FIELD = re.compile(r"@|https?:|www\.|\+?\(?\d[\d ()./-]{6,}|\b(?:tel|fax|phone|e-?mail|telefon|mobil|mob)\b")
NARRATED = re.compile(
    r"\b(?:said|told|recalled|testified|according to|advised|wrote|warned|declared|insisted|the judge|the court)\b|"
    r"\b(?:sagte|teilte|erklärte|so (?:die|der|ein)|laut|riet)\b|\b(?:dijo|según|afirmó|declaró)\b|"
    r"\b(?:selon|a déclaré|raconte|se souvient|a dit)\b|\b(?:disse|ha detto|secondo|afirmou|segundo)\b|"
    r"\b(?:dedi|söyledi|açıkladı|kata|ujar)\b|"
    r"\b(?:advirtió|pidió|explicó|aseguró|aconsejó|contó)\b|\b(?:zei|zegt|aldus|vertelde)\b|\b(?:sade|säger|rådde)\b|"
    r"\b(?:powiedział|stwierdził|radził|rzekł)|"
    r"сообщил|сказал|заявил|посоветовал|рассказал|отметил|сказав|повідоми|розпові|зазначи|заявив|"
    r"\b[وف]?قالت?\b|\bگفت|کہنا|\bאמרה?\b|\bείπε|δήλωσε|ने कहा|से कहा|ने बताया|বলেন|জানান|கூறினா|"
    r"表示|说道|指出|述べた|と語った|話した|말했다|밝혔다|전했다|กล่าวว่า|cho biết|nói rằng"
)
# After such a line under the story nothing of it comes; the lines of a page's own furniture between them go along.
CLOSING = frozenset(
    {
        "author_bio",
        "comments_widget",
        "contributed",
        "copyright",
        "disclaimer",
        "distributor",
        "feed_tail",
        "redistribution",
        "republish_credit",
        "share_widget",
        "syndicator_credit",
        "syndicator_legal",
        "tags",
        "wire_credit",
    }
)
# What is said of a company, a writer or a shop always holds; what happened on a day is news.
TIMELESS = frozenset({"affiliate", "author_bio", "finance_disclosure", "opinion_note", "pr_about"})
DATED = re.compile(
    r"\bon (?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:yesterday|last (?:week|month|night))\b|"
    r"\bam (?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag)\b|"
    r"\bel (?:lunes|martes|miércoles|jueves|viernes|sábado|domingo)\b"
)
PROMPTS = frozenset({"app", "donation", "messaging_channel", "newsletter", "social"})
ASKING = PROMPTS | {"comments_widget", "dow_jones", "opinion_note", "paywall", "pr_contact", "reader_poll"}
# What leads up to a form or a request: an offer, or a question to the reader about the page itself. `OFFER` must hold
# wherever it stands, `PITCH` only where no story follows.
OFFER = re.compile(
    r"\b(?:inbox|newsletters?|your e-?mail|e-?mail address|subscribers?|(?:daily|weekly|morning|evening) (?:briefing|"
    r"digest|letter|e-?mail)|every (?:morning|evening|(?:week)?day|weekend)|(?:top|best|latest|biggest|more|important) "
    r"stories|stories (?:that matter|like this|you)|journalism|paywall|jeden (?:morgen|abend|tag|freitag|montag)|"
    r"postfach|newsletter\w*|das wichtigste|kostenlos\w*|cada (?:mañana|día|semana)|boletín|chaque (?:matin|jour|"
    r"semaine|soir)|infolettre|boîte mail|ogni (?:giorno|mattina|settimana)|bülten\w*|her (?:gün|sabah)|todos os dias|"
    r"toda manhã|elke (?:dag|ochtend|week)|nieuwsbrief|setiap (?:hari|pagi)|co (?:rano|tydzień)|codziennie|"
    r"varje (?:dag|morgon|vecka)|nyhetsbrev\w*)\b"
)
PITCH = re.compile(
    r"\b(?:your?|we|our|us|join|get|sign up|support|follow|sie|ihre?|ihnen|uns|unsere?|jetzt|dein\w*|te|tu|tus|usted|"
    r"nuestr\w+|nos|notre|votre|vos|vous|tu[oa]?|nostr\w+|bize|bizi|seu|sua|nosso|você|je|jouw|ons|onze|kami|anda|nas|"
    r"nam|twoj\w+|din|ditt|vår\w*|oss)\b"
)
ASKED = re.compile(
    r"\b(?:stor(?:y|ies)|tips?|articles?|news\w*|questions?|comments?|feedback|typos?|errors?|mistakes?|corrections?|ideas?|"
    r"artikel|beitrag|fehler|tipp|hinweis\w*|frage\w*|artículo|noticia|nota|error(?:e|es)?|opinión|sugerencia|erreur|avis|"
    r"articolo|notizia|segnalazion\w+|haber\w*|hata|matéria|notícia|erro|bericht|foutje?|opmerking|berita|temat\w*|błąd|"
    r"artykuł\w*|fel|artikeln)\b"
)
MAY_NARRATE = frozenset({"syndicator_legal", "forward_looking", "feed_tail"})
