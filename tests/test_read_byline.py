"""Bylines of many languages and habits to names."""

import pytest

from transforms.read_byline import is_desk, names_in, visible_names

STATED = [
    ("Lena Ruud", ["Lena Ruud"]),
    ("By Lena Ruud and Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("BY LENA RUUD", ["LENA RUUD"]),
    ("Written by Lena Ruud & Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Story by Lena Ruud; photographs by Ivo Petz", ["Lena Ruud"]),
    ("Lena Ruud, Ivo Petz, and Karl Holm", ["Lena Ruud", "Ivo Petz", "Karl Holm"]),
    ("Lena Ruud, Chief Political Correspondent", ["Lena Ruud"]),
    ("Lena Ruud, Senior Editor, and Ivo Petz, Reporter", ["Lena Ruud", "Ivo Petz"]),
    ("Lena Ruud for The Post", ["Lena Ruud"]),
    ("Lena Ruud in Nordhaven", ["Lena Ruud"]),
    ("Lena Ruud with Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Lena Ruud | Sundvik", ["Lena Ruud", "Sundvik"]),
    ("Lena Ruud (AFP)", ["Lena Ruud"]),
    ("Lena Ruud/AFP", ["Lena Ruud", "AFP"]),
    ("Lena Ruud, PhD", ["Lena Ruud"]),
    ("Martin Luther Holm, Jr.", ["Martin Luther Holm, Jr."]),
    ("Dr. Lena Ruud", ["Dr. Lena Ruud"]),
    ("Von Lena Ruud und Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Ein Gastbeitrag von Lena Ruud", ["Lena Ruud"]),
    ("Lena Ruud, Redakteurin", ["Lena Ruud"]),
    ("Anna von der Au", ["Anna von der Au"]),
    ("Sandra Vonlanthen", ["Sandra Vonlanthen"]),
    ("Par Lena Ruud et Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Propos recueillis par Lena Ruud", ["Lena Ruud"]),
    ("Lena Ruud avec AFP", ["Lena Ruud", "AFP"]),
    ("Por Lena Ruud y Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Por: Lena Ruud", ["Lena Ruud"]),
    ("Ramón y Cajal", ["Ramón y Cajal"]),
    ("Ana Costa e Silva", ["Ana Costa e Silva"]),
    ("Ana Costa e Rui Lobo", ["Ana Costa", "Rui Lobo"]),
    ("di Lena Ruud e Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("a cura di Lena Ruud", ["Lena Ruud"]),
    ("Door Lena Ruud en Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Lena Ruud ve Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Av Lena Ruud och Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Tekst: Lena Ruud", ["Lena Ruud"]),
    ("Oleh Lena Ruud dan Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Автор: Лена Рууд", ["Лена Рууд"]),
    ("Лена Рууд и Иво Петц", ["Лена Рууд", "Иво Петц"]),
    ("Текст: Лена Рууд, корреспондент", ["Лена Рууд"]),
    ("بقلم: لينا رود", ["لينا رود"]),
    ("كتبت - لينا رود", ["لينا رود"]),
    ("لينا رود، إيفو بيتز", ["لينا رود", "إيفو بيتز"]),
    ("लेखक: लीना रूड", ["लीना रूड"]),
    ("लीना रूड और इवो पेट्ज़", ["लीना रूड", "इवो पेट्ज़"]),
    ("作者：李小明", ["李小明"]),
    ("文/李小明", ["李小明"]),
    ("记者 李小明、王大为", ["李小明", "王大为"]),
    ("文＝田中太郎", ["田中太郎"]),
    ("田中太郎記者", ["田中太郎"]),
    ("김민수 기자", ["김민수"]),
    ("김민수 기자 kim@post.example", ["김민수"]),
    ("김민수·이영희 기자", ["김민수", "이영희"]),
    ("Zeige alle Beiträge von Lena Ruud", ["Lena Ruud"]),
    ("Voir tous les articles de Lena Ruud", ["Lena Ruud"]),
    ("Ver todas las entradas de Lena Ruud", ["Lena Ruud"]),
    ("View all posts by Lena Ruud", ["Lena Ruud"]),
    ("Lena Ruud For The Post On Sunday", ["Lena Ruud"]),
    ("Sundvik Post - Lena Ruud", ["Sundvik Post", "Lena Ruud"]),
    ("Lena Ruud – Ivo Petz", ["Lena Ruud", "Ivo Petz"]),
    ("Lena Ruud-Petz", ["Lena Ruud-Petz"]),
    ("Lena Ruud C.", ["Lena Ruud C."]),
    ("Lena Ruud.", ["Lena Ruud"]),
    ("Verein der Fährleute e. V.", ["Verein der Fährleute e. V."]),
    ("Reporting by Lena Ruud; editing by Ivo Petz", ["Lena Ruud"]),
    ("Lena Ruud, edited by Ivo Petz", ["Lena Ruud"]),
    ("Lena Ruud, with files from The Canadian Press", ["Lena Ruud"]),
    ("Lena Ruud with files from Ivo Petz", ["Lena Ruud"]),
    ("Lena Ruud; additional reporting by Ivo Petz", ["Lena Ruud"]),
    ("Von Lena Ruud; redigiert von Ivo Petz", ["Lena Ruud"]),
    ("No Author", []),
    ("Super User", []),
    ("publisher", []),
    ("{{ author.name }}", []),
    ("", []),
    ("By", []),
    ("https://post.example/authors/7", []),
    ("lena@post.example", []),
    ("@lenaruud", []),
    ("105092", []),
    ("Admin", []),
    ("undefined", []),
    ("Photo: Ivo Petz", []),
]


@pytest.mark.parametrize("stated, names", STATED, ids=lambda v: str(v)[:40])
def test_names_that_a_page_states(stated: str, names: list[str]) -> None:
    assert names_in(stated) == names


DESKS = [
    "Newsroom", "News Desk", "Sundvik Post Staff", "Web Desk", "Editorial Board", "Agencies", "Redaktion", "Online-Redaktion",
    "Redazione", "La rédaction", "Redacción", "Redação", "Redactie", "Haber Merkezi", "Редакция", "هيئة التحرير", "न्यूज़ डेस्क",
    "编辑部", "編集部", "편집국", "AFP", "Reuters", "dpa", "ANSA", "EFE", "Anadolu Ajansı", "РИА Новости", "Staff Reporter",
    "Sundvik Medien GmbH", "Verein der Fährleute e. V.", "Sundvik Media Inc.", "lena.ruud", "lruud01", "oradmin",
    "Guest Contributor", "Our Correspondent", "AFP Deutschland", "dpa/AFP", "Agence France-Presse",
]  # fmt: skip
PEOPLE = ["Lena Ruud", "Reuter Holm", "Ivo Deskins", "Ana Redondo", "Anna Newsome", "李小明", "김민수", "لينا رود", "Лена Рууд",
          "Stafford Holm", "Per Agger", "An Ap Holm", "Aa Gill"]  # fmt: skip


@pytest.mark.parametrize("name", DESKS)
def test_desks_and_agencies_are_no_people(name: str) -> None:
    assert is_desk(name)


@pytest.mark.parametrize("name", PEOPLE)
def test_people_are_no_desks(name: str) -> None:
    assert not is_desk(name)


SEEN = [
    ("By Lena Ruud", ["Lena Ruud"]),
    ("By Lena Ruud, Politics Reporter", ["Lena Ruud"]),
    ("By Lena Ruud and Ivo Petz · 12 January 2026", ["Lena Ruud", "Ivo Petz"]),
    ("By LENA RUUD", ["LENA RUUD"]),
    ("Von Lena Ruud, Nordhaven", ["Lena Ruud"]),
    ("Por María de la Cruz", ["María de la Cruz"]),
    ("Автор: Лена Рууд", ["Лена Рууд"]),
    ("김민수 기자", ["김민수"]),
    ("作者：李小明", ["李小明"]),
    ("By Lena Ruud Thursday, November 2, 2023", ["Lena Ruud"]),
    ("Von Lena Ruud Stand: 5. Februar 2020", ["Lena Ruud"]),
    ("Par Lena Ruud le 7 mai 2020", ["Lena Ruud"]),
    ("By Lena Ruud @lenar", ["Lena Ruud"]),
    ("By Lena Ruud Lena Ruud", ["Lena Ruud"]),
    ("2026年01月12日17:30 来源：山谷日报 作者：李小明", ["李小明"]),
    ("责任编辑：李小明", []),
    ("Por Sundvik Cozinha Recomendamos Para Você Bolo de Chocolate com Aveia e Mel", []),
    ("Photo by Ivo Petz", []),
    ("© Ivo Petz", []),
    ("CC BY 4.0", []),
    ("Foto: Ivo Petz", []),
    ("By Monday", []),
    ("By the end of the year the bridge is to be open again", []),
    ("Von Montag an gilt der neue Plan", []),
    ("Por fin abre el puente", []),
    ("Di nuovo chiuso il ponte", []),
    ("Lena Ruud", []),
    ("Lena Ruud said nothing.", []),
    ("记者从会上获悉老桥将关闭", []),
]


@pytest.mark.parametrize("line, names", SEEN, ids=lambda v: str(v)[:40])
def test_names_in_a_line_beneath_the_headline(line: str, names: list[str]) -> None:
    assert visible_names(line) == names
