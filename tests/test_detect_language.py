from typing import Optional

import pytest

from transforms.detect_language import choose_language, detect_language, language_tag

SAMPLES = {
    "en": "The mayor of the small town said on Monday that the bridge, which has been closed since the flood, will not be opened before the end of the year. She told the council that it was not safe for the school bus.",
    "de": "Die Bürgermeisterin der kleinen Stadt sagte am Montag, dass die Brücke, die seit der Flut gesperrt ist, nicht vor dem Ende des Jahres wieder geöffnet wird. Sie ist für den Schulbus nach wie vor nicht sicher.",
    "fr": "La maire de la petite ville a dit lundi que le pont, fermé depuis la crue, ne sera pas rouvert avant la fin de l'année. Elle a expliqué au conseil qu'il n'est pas sûr pour les bus de l'école et que les travaux sont en retard.",
    "es": "La alcaldesa de la pequeña ciudad dijo el lunes que el puente, cerrado desde la riada, no se abrirá hasta el final del año. Explicó al consejo que no es seguro para los autobuses de la escuela y que las obras van con retraso.",
    "pt": "A prefeita da pequena cidade disse na segunda-feira que a ponte, fechada desde a cheia, não será aberta até o fim do ano. Ela explicou ao conselho que não é segura para os ônibus da escola e que as obras estão em atraso.",
    "it": "La sindaca della piccola città ha detto lunedì che il ponte, chiuso dopo la piena, non sarà aperto prima della fine dell'anno. Ha spiegato al consiglio che non è sicuro per gli autobus della scuola e che i lavori sono in ritardo.",
    "nl": "De burgemeester van het stadje zei maandag dat de brug, die sinds de overstroming dicht is, niet voor het einde van het jaar open gaat. Ze zei tegen de raad dat het nog niet veilig is voor de bus van de school.",
    "pl": "Burmistrz małego miasta powiedziała w poniedziałek, że most, który jest zamknięty od powodzi, nie będzie otwarty przed końcem roku. Jak dodała, nie jest on bezpieczny dla autobusów i to się na razie nie zmieni, ale prace są w toku.",
    "ru": "Мэр небольшого города сказала в понедельник, что мост, который закрыт после наводнения, не откроют до конца года. Она объяснила совету, что он не безопасен для школьных автобусов и что работы идут с опозданием, но это не беда.",
    "uk": "Мерка невеликого міста сказала в понеділок, що міст, який закрито після повені, не відкриють до кінця року. Вона пояснила раді, що він не є безпечним для шкільних автобусів, та що роботи йдуть із запізненням, але це не біда.",
    "ar": "قالت رئيسة بلدية المدينة الصغيرة يوم الاثنين إن الجسر الذي أغلق بعد الفيضان لن يفتح قبل نهاية العام وأوضحت أمام المجلس أن الجسر غير آمن على حافلات المدرسة وأن العمل في الموقع تأخر كثيرا عن الموعد كما قال المهندس",
    "hi": "छोटे शहर की मेयर ने सोमवार को कहा कि बाढ़ के बाद से बंद पुल साल के अंत से पहले नहीं खुलेगा।",
    "ja": "小さな町の町長は月曜日、洪水以来閉鎖されている橋は年末まで再開しないと述べた。",
    "zh": "这座小城的市长周一表示，自洪水以来关闭的大桥在年底之前不会重新开放，因为它对校车来说并不安全。",
    "ko": "작은 도시의 시장은 월요일 홍수 이후 폐쇄된 다리가 연말까지 다시 열리지 않을 것이라고 말했다.",
    "el": "Η δήμαρχος της μικρής πόλης είπε τη Δευτέρα ότι η γέφυρα δεν θα ανοίξει πριν από το τέλος του έτους.",
    "he": "ראש העירייה של העיר הקטנה אמרה ביום שני כי הגשר לא ייפתח לפני סוף השנה.",
}


@pytest.mark.parametrize("language", SAMPLES)
def test_prose_is_recognised(language: str) -> None:
    assert detect_language(SAMPLES[language]) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "OK",
        "Nordhaven 3, Sundvik 1",
        "https://paper.example/a/b/c " * 10,
        "Anna Berg Karl Holm Lena Ruud Ivo Petz " * 10,
    ],
)
def test_what_is_not_clear_is_not_guessed(text: str) -> None:
    assert detect_language(text) is None


@pytest.mark.parametrize(
    "tag, primary",
    [
        ("en-GB", "en"),
        ("DE", "de"),
        ("pt_BR", "pt"),
        ("zh-Hans-CN", "zh"),
        ("nb-NO", "no"),
        ("iw", "he"),
        ("und", None),
        ("english!", None),
        ("", None),
        (None, None),
    ],
)
def test_primary_subtag(tag: Optional[str], primary: Optional[str]) -> None:
    assert language_tag(tag) == primary


@pytest.mark.parametrize(
    "declared, sample, chosen",
    [
        ("en-GB", "en", "en"),
        (None, "de", "de"),
        ("en", "de", "de"),  # a template that says en everywhere
        ("en", "ru", "ru"),
        ("en", "ja", "ja"),
        ("de", "zh", "zh"),
        ("uk", "uk", "uk"),
        ("mr", "hi", "mr"),  # one script, several languages: the page is believed
        ("yue", "zh", "yue"),
        ("af", "nl", "af"),  # no list of its own to speak against it
        ("ca", "es", "ca"),
        ("kk", "ru", "kk"),
        ("ru", "en", "en"),
    ],
)
def test_the_text_wins_only_where_it_contradicts(declared: Optional[str], sample: str, chosen: str) -> None:
    assert choose_language(declared, SAMPLES[sample]) == chosen


def test_a_short_text_has_the_declared_language() -> None:
    assert choose_language("sv", "Goal!") == "sv"


def test_a_quotation_in_another_language_does_not_decide() -> None:
    text = (
        SAMPLES["en"]
        + " "
        + SAMPLES["en"].replace("Monday", "Friday")
        + " „Das ist nicht das Ende der Brücke“, sagte der Ingenieur."
    )
    assert choose_language(None, text) == "en"
