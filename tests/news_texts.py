"""Texts for news that never happened: no two alike, in English and German, all from a seed.

Sentences have many places to fill, so that articles share neither sentences nor enough words to be taken for copies.
"""

import random
from collections.abc import Mapping


def _joined(heads: str, tails: str = "") -> tuple[str, ...]:
    return tuple(head + tail for head in heads.split() for tail in tails.split() or [""])


_SURNAMES = _joined(
    "Ab Bar Cal Dor El Fen Gar Hal Ing Jor Kel Lom Mar Nor Os Pel Quin Ros Sal Tor Ul Ver Wen Yar Zel Brin Cros Drev",
    "wick mann stad lund berg more dale hurst sen ley rath ford gren vik ton ander",
)
_PLACES = _joined(
    "Alm Birn Cord Dray Esk Fal Grim Hol Ister Juln Kast Lind Mor Nes Orl Pren Rav Stor Tarn Ulv Vest Wal Yst Zorn",
    "haven bridge mouth feld dorf minster combe sund beck gate holm wald",
)
_FIRST_NAMES = _joined(
    "Ada Bruno Carla Dirk Elin Frida Gregor Hanna Ivo Jonna Karl Lena Milo Nora Otto Petra Quirin Ruth Sven Tilda Ursel "
    "Viktor Wanda Xaver Yara Zeno Agnes Bertil Clara Doris Emil Flora Gustav Helene Ida Jakob Kaja Linus Maren"
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_ENGLISH: Mapping[str, tuple[str, ...]] = {
    "body": _words(
        "council, harbour board, school board, county assembly, transport authority, hospital trust, planning office, "
        "water company, fire service, housing association, university senate, chamber of trade, forestry office"
    ),
    "day": _words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "do": _words(
        "rebuild, sell, close, enlarge, lease, insure, repaint, inspect, move, shorten, flood, drain, fence, reopen, "
        "auction, heat, replace, survey, widen, dismantle, restore, photograph, measure, test, rename, abandon"
    ),
    "did": _words(
        "praised, rejected, delayed, approved, criticised, welcomed, postponed, reviewed, financed, halved, doubled, "
        "overlooked, defended, questioned, completed, suspended, revived, audited, rewrote, supported, stopped"
    ),
    "adj": _words(
        "old, narrow, northern, disused, wooden, popular, costly, flooded, quiet, temporary, medieval, rusty, crowded, "
        "private, unfinished, electric, hidden, southern, damaged, famous, empty, modern, public, steep, leaking, small"
    ),
    "thing": _words(
        "bridge, pier, swimming pool, tram line, library, brewery, lighthouse, market hall, observatory, railway yard, "
        "cinema, power station, cattle market, ferry terminal, sawmill, town hall, quarry, archive, orchard, reservoir, "
        "concert hall, bus depot, museum, greenhouse, dairy, chapel, printing works, canal lock, airfield, boatyard, "
        "bakery, water tower, stadium, clinic, tannery, weather station, tunnel, prison, vineyard, shipyard, kiosk"
    ),
    "things": _words(
        "lamps, timetables, turbines, tickets, herons, apple trees, fire engines, bicycles, violins, drainage pipes, "
        "nesting boxes, school desks, delivery vans, roof tiles, sheep, fishing boats, parking meters, beehives, maps, "
        "telephones, snow ploughs, benches, church bells, solar panels, test tubes, oil drums, tractors, lifeboats"
    ),
    "people": _words(
        "residents, shopkeepers, nurses, anglers, engineers, teachers, farmers, students, firefighters, musicians, "
        "pensioners, divers, cyclists, postal workers, biologists, tenants, pilots, bakers, historians, carpenters, "
        "inspectors, volunteers, lawyers, sailors, gardeners, electricians, parents, translators, drivers"
    ),
    "trade": _words(
        "mayor, chief engineer, headmaster, spokeswoman, treasurer, harbour master, architect, conductor, geologist, "
        "union leader, librarian, veterinary surgeon, surveyor, accountant, fire chief, ornithologist, shop steward"
    ),
    "money": _words("crowns, guilders, florins, thalers, marks, ducats"),
    "month": _words("January, February, March, April, May, June, July, August, September, October, November, December"),
    "cause": _words(
        "heavy rain, a broken valve, missing permits, rising wages, a clerical error, the spring tide, poor visibility, "
        "an unpaid bill, a lack of spare parts, faulty wiring, a sudden frost, low demand, a fallen oak, a strike"
    ),
    "event": _words(
        "summer fair, hearing, regatta, harvest, exhibition, inquest, chess tournament, flower show, election, marathon, "
        "choir contest, trial run, book festival, public inquiry, reunion, film week, cattle show, census"
    ),
    "how": _words(
        "quietly, unanimously, reluctantly, at once, without debate, after midnight, in a hurry, by letter, on the radio, "
        "behind closed doors, with a smile, for the second time, against all advice, ahead of schedule"
    ),
}
_ENGLISH_SENTENCES = (
    "The {body} of {place} decided {how} on {day} to {do} the {adj} {thing}, at a cost of {num} {money}.",
    "{People} near {place} {did} the plan for the {thing} {how}, and {small} of them signed a letter to {per}.",
    "Because of {cause}, {num} {things} had to be taken from the {adj} {thing} to {place} before {day}.",
    "{per}, a {trade} from {place}, {did} the {thing} and called its {things} too {adj} for a town of {num} people.",
    "“Nobody asked the {people} whether the {thing} was {adj},” said {sur}, who {did} the {event} in {month}.",
    "By {month} the {body} wants to {do} {small} {things} and the {adj} {thing} beside the {thing} in {place}.",
    "A {trade} found {num} {things} in the {thing} at {place}, most of them {adj} since the {event} of {year}.",
    "The {event} in {place} drew {num} {people} on {day}, although {cause} kept the {adj} {thing} shut.",
    "{sur} told {people} {how} that {cause}, not the {body}, was to blame for the {adj} {thing}.",
    "Since {year} the {thing} has lost {num} {things}, according to a {trade} whom the {people} of {place} trust.",
    "When the {adj} {thing} opened in {year}, {people} paid {small} {money} to see its {things}.",
    "The {body} {did} a rival offer from {per}, who wanted to {do} the {thing} for {num} {money}.",
    "In {place}, {small} {people} met {how} to {do} what {cause} had left of the {adj} {thing}.",
    "Tests in {month} showed that {num} of the {things} were {adj}, and {sur} {did} the {thing} {how}.",
    "{People} and {people} from {place} will share the {thing} until {month}, unless {cause} makes the {body} think again.",
    "A report by {per} puts the price of {things} at {num} {money}, or {small} for each of the {people} of {place}.",
    "On {day} the {trade} {did} a claim that {cause} could {do} the {adj} {thing} within {small} weeks.",
    "{place} has had {small} {things} and one {thing} since {year}, when the {body} last {did} its {event}.",
    "“We shall {do} every {thing} from here to {place},” {sur} wrote {how} to the {body} in {month}.",
    "Half of the {num} {things} were bought by {people}, the rest by a {adj} {thing} near {place}.",
    "The {thing} belongs to {per}, whose family {did} {things} there {how} until {cause} ended the trade in {year}.",
    "What happens to the {adj} {things} is open: {people} want them for the {event}, the {body} for its {thing}.",
    "Traffic past the {thing} in {place} was stopped {how} while {small} {people} moved {num} {things}.",
    "The {trade} of {place} expects {num} visitors at the {event}, more than the {adj} {thing} can hold.",
    "Without the {thing}, {sur} reckons, {people} would need {small} {adj} {things} by {month} to reach {place}.",
    "A court in {place} {did} the sale {how}, since {cause} in {year} had made the {thing} worth {num} {money}.",
    "Last {month} {small} {people} had {did} the {event}; this time {per} brought {num} {things} {how}.",
    "{per} and the {body} differ over {cause}: one would {do} the {thing}, the other {do} its {adj} {things}.",
    "For {num} {money} a {trade} offered {how} to {do} the {event} and {small} {adj} {things} in {place}.",
    "Next {day} the {people} of {place} vote on the {thing}, the {things} and a loan of {num} {money}.",
    "Not far from {place}, {cause} damaged {small} {things} of a {trade} who had {did} the {body} {how}.",
    "The {adj} {thing} stands {small} miles from {place}; {people} reach it by way of the {thing} that {sur} {did}.",
    "Only the {event} of {month} {year} had more {things}, and then {cause} drove {num} {people} home.",
    "Insurers {did} the {adj} {thing} in {month}, {sur} said, but {how} paid {num} {money} for the {things}.",
)
_ENGLISH_TITLES = (
    "{place} {body} to {do} {adj} {thing} after {cause}",
    "{People} of {place} split over {adj} {thing} and {num} {things}",
    "{sur} {did} {thing} in {place} as {event} nears",
    "{num} {things} found at {adj} {thing} near {place}",
    "How {cause} changed the {event} of {place}",
)

_GERMAN: Mapping[str, tuple[str, ...]] = {
    "body": _words(
        "Gemeinde, Hafenbehörde, Schulleitung, Kreisverwaltung, Feuerwehr, Forstverwaltung, Handelskammer, Klinikleitung, "
        "Baubehörde, Universität, Wasserwacht, Genossenschaft, Denkmalpflege, Bürgerstiftung, Verkehrsgesellschaft"
    ),
    "day": _words("Montag, Dienstag, Mittwoch, Donnerstag, Freitag, Samstag, Sonntag"),
    "inf": _words(
        "erneuern, verkaufen, schließen, vergrößern, verpachten, versichern, streichen, prüfen, verlegen, kürzen, räumen, "
        "einzäunen, versteigern, beheizen, ersetzen, vermessen, verbreitern, abtragen, aufgeben, fotografieren, umbenennen"
    ),
    "part": _words(
        "gelobt, abgelehnt, verschoben, genehmigt, kritisiert, begrüßt, vertagt, geprüft, bezahlt, halbiert, verdoppelt, "
        "übersehen, verteidigt, bezweifelt, vollendet, ausgesetzt, gestoppt, überarbeitet, unterstützt, gefilmt, gezählt"
    ),
    "adj": _words(
        "alte, schmale, nördliche, stillgelegte, hölzerne, beliebte, teure, überflutete, ruhige, vorläufige, verrostete, "
        "überfüllte, private, unfertige, elektrische, verborgene, südliche, beschädigte, berühmte, leere, moderne, steile"
    ),
    "thing": _words(
        "Brücke, Mole, Schwimmhalle, Straßenbahn, Bücherei, Brauerei, Markthalle, Sternwarte, Werft, Molkerei, Kapelle, "
        "Druckerei, Schleuse, Landebahn, Bäckerei, Gerberei, Klinik, Wetterwarte, Gärtnerei, Seilbahn, Ziegelei, Mühle, "
        "Konzerthalle, Turnhalle, Talsperre, Fähre, Burgruine, Kaserne, Stadtmauer, Festwiese, Feuerwache, Tankstelle"
    ),
    "things": _words(
        "Lampen, Fahrpläne, Turbinen, Eintrittskarten, Graureiher, Apfelbäume, Löschfahrzeuge, Fahrräder, Geigen, Rohre, "
        "Nistkästen, Schulbänke, Lieferwagen, Dachziegel, Schafe, Fischerboote, Parkuhren, Bienenstöcke, Landkarten, "
        "Telefone, Schneepflüge, Sitzbänke, Kirchenglocken, Solarzellen, Ölfässer, Traktoren, Rettungsboote, Gemälde"
    ),
    "people": _words(
        "Anwohner, Händler, Pflegekräfte, Angler, Lehrkräfte, Landwirte, Studierende, Feuerwehrleute, Musiker, Taucher, "
        "Radfahrer, Mieter, Piloten, Bäcker, Historiker, Zimmerleute, Gutachter, Freiwillige, Matrosen, Gärtner, Eltern"
    ),
    "trade": _words(
        "Bürgermeisterin, Ingenieurin, Schulleiterin, Sprecherin, Kämmerin, Hafenmeisterin, Architektin, Dirigentin, "
        "Geologin, Bibliothekarin, Tierärztin, Försterin, Buchhalterin, Vogelkundlerin, Richterin, Lotsin, Winzerin"
    ),
    "money": _words("Kronen, Gulden, Taler, Mark, Dukaten, Franken"),
    "month": _words("Januar, Februar, März, April, Mai, Juni, Juli, August, September, Oktober, November, Dezember"),
    "cause": _words(
        "starker Regen, ein defektes Ventil, fehlende Papiere, steigende Löhne, ein Schreibfehler, die Springflut, dichter "
        "Nebel, eine offene Rechnung, plötzlicher Frost, geringe Nachfrage, eine gestürzte Eiche, ein Warnstreik"
    ),
    "event": _words(
        "Anhörung, Regatta, Ernte, Ausstellung, Blumenschau, Wahl, Probefahrt, Lesewoche, Untersuchung, Filmwoche, "
        "Viehschau, Volkszählung, Versammlung, Preisverleihung, Sonnwendfeier, Schachpartie, Einweihung"
    ),
    "how": _words(
        "heimlich, einstimmig, widerwillig, sofort, ohne Aussprache, nach Mitternacht, in aller Eile, schriftlich, im Radio, "
        "hinter verschlossenen Türen, lächelnd, zum zweiten Mal, gegen jeden Rat, vorzeitig, unter Beifall"
    ),
}
_GERMAN_SENTENCES = (
    "Die {body} in {place} will die {adj} {thing} {how} {inf}, was nach Angaben vom {day} rund {num} {money} kostet.",
    "{People} aus {place} haben die {thing} {how} {part}, und {small} von ihnen schrieben einen Brief an {per}.",
    "{Cause} war schuld, dass {num} {things} vor {day} aus der {adj}n {thing} nach {place} gebracht wurden.",
    "{per}, {trade} aus {place}, hat die {event} {part} und nannte die {things} zu teuer für {num} {people}.",
    "„Niemand hat die {people} nach der {adj}n {thing} gefragt“, sagte {sur}, {trade} in {place}.",
    "Bis {month} möchte die {body} {small} {things} ersetzen und die {thing} neben der {adj}n {thing} {inf}.",
    "Eine {trade} fand {num} {things} in der {thing} von {place}, die seit der {event} {year} niemand {part} hatte.",
    "Zur {event} in {place} kamen am {day} {num} {people}, obwohl {cause} die {adj} {thing} lahmlegte.",
    "{sur} erklärte den Anwesenden {how}, dass {cause} und nicht die {body} der {adj}n {thing} geschadet habe.",
    "Seit {year} fehlen der {thing} {num} {things}, wie eine {trade} vorrechnet, der {people} in {place} vertrauen.",
    "Als die {adj} {thing} {year} öffnete, zahlten {people} {small} {money}, um {things} zu sehen.",
    "Die {body} hat ein Angebot von {per} {part}, die {thing} für {num} {money} zu übernehmen.",
    "In {place} trafen sich {small} {people} {how}, um über {things} und die {adj} {thing} zu reden.",
    "Messungen im {month} ergaben, dass {num} {things} schadhaft sind; {sur} hat die {thing} daraufhin {how} {part}.",
    "{People} und {people} aus {place} teilen sich bis {month} die {thing}, falls nicht {cause} die {body} umstimmt.",
    "Ein Bericht von {per} beziffert {things} auf {num} {money}, also {small} für jeden der {people} in {place}.",
    "Am {day} hat die {trade} bestritten, dass {cause} die {adj} {thing} binnen {small} Wochen gefährde.",
    "{place} besitzt {small} {things} und eine {thing}, seit die {body} {year} ihre {event} {part} hat.",
    "„Wir werden jede {thing} bis {place} {inf}“, schrieb {sur} im {month} {how} an die {body}.",
    "Von den {num} Stücken kauften {people} die Hälfte, den Rest bekam eine {adj} {thing} bei {place}.",
    "Die {thing} gehört {per}, deren Familie dort {how} {things} lagerte, bis {cause} dem {year} ein Ende setzte.",
    "Offen ist, was aus den Teilen wird: {people} wollen {things} zur {event}, die {body} braucht sie für ihre {thing}.",
    "An der {thing} in {place} ruhte der Verkehr, während {small} {people} {how} {num} {things} verluden.",
    "Zur {event} erwartet die {trade} aus {place} {num} Gäste, mehr als die {adj} {thing} fasst.",
    "Ohne {thing}, rechnet {sur} vor, bräuchten {people} bis {month} {small} {things}, um nach {place} zu kommen.",
    "Ein Gericht in {place} hat den Verkauf {how} {part}, weil {cause} die {thing} {year} um {num} {money} entwertete.",
    "Im {month} hatten {small} {people} die {event} {part}; diesmal brachte {per} {num} {things} mit.",
    "{per} und die {body} streiten über {things}: die eine will die {thing} {inf}, die andere die {adj} {thing}.",
    "Für {num} {money} bot eine {trade} {how} an, die {event} zu leiten und {small} {things} nach {place} zu holen.",
    "Nächsten {day} stimmen {people} in {place} über die {thing}, {things} und {num} {money} Kredit ab.",
    "Unweit von {place} beschädigte {cause} {small} {things} einer {trade}, die der {body} {how} widersprochen hatte.",
    "Die {adj} {thing} liegt {small} Meilen vor {place}; {people} erreichen sie über die {thing}, die {sur} {part} hat.",
    "Nur die {event} im {month} {year} zählte mehr {things}, doch {cause} trieb {num} {people} heim.",
    "Versicherer haben die {adj} {thing} im {month} {part}, sagte {sur}, zahlten aber {how} {num} {money} für {things}.",
)
_GERMAN_TITLES = (
    "{place}: {body} will {adj} {thing} {inf}",
    "{People} in {place} streiten über {thing} und {num} {things}",
    "{sur} hat {thing} in {place} {how} {part}",
    "{num} {things} an der {adj}n {thing} bei {place} gefunden",
    "{place} vor der {event}: {cause} ändert alles",
)


class _Fill(dict[str, str]):
    """What `str.format_map` asks for words: each place in a sentence draws a new one, people and places recur."""

    def __init__(self, dice: random.Random, german: bool) -> None:
        super().__init__()
        self._dice, self._vocabulary = dice, _GERMAN if german else _ENGLISH
        self._cast = [f"{dice.choice(_FIRST_NAMES)} {dice.choice(_SURNAMES)}" for _ in range(4)]
        self._places = [dice.choice(_PLACES) for _ in range(3)]

    def __missing__(self, name: str) -> str:
        dice = self._dice
        if name == "place":
            return dice.choice(self._places)
        if name == "per":
            return dice.choice(self._cast)
        if name == "sur":
            return dice.choice(self._cast).rpartition(" ")[2]
        if name == "num":
            return str(dice.randint(21, 9_800))
        if name == "small":
            return str(dice.randint(2, 20))
        if name == "year":
            return str(dice.randint(1871, 2019))
        if name[0].isupper():
            word = dice.choice(self._vocabulary[name.lower()])
            return word[0].upper() + word[1:]
        return dice.choice(self._vocabulary[name])


class Writer:
    """Writes the paragraphs and headlines of one article."""

    def __init__(self, dice: random.Random, german: bool) -> None:
        self._dice, self._fill = dice, _Fill(dice, german)
        self._titles = _GERMAN_TITLES if german else _ENGLISH_TITLES
        sentences = _GERMAN_SENTENCES if german else _ENGLISH_SENTENCES
        self._deck = dice.sample(sentences, len(sentences))

    def title(self) -> str:
        return self._dice.choice(self._titles).format_map(self._fill)

    def paragraph(self) -> str:
        """Return 40 to 80 words; no sentence stands twice in an article."""
        sentences: list[str] = []
        words = 0
        while words < 40 or (words < 50 and self._dice.random() < 0.4):
            sentence = self._deck.pop().format_map(self._fill)
            sentences.append(sentence)
            words += sentence.count(" ") + 1
        return " ".join(sentences)
