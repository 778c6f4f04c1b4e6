"""Text in any encoding: recognised by the whole file, and read to the last letter."""
# ruff: noqa: RUF001 - letters of many alphabets are the subject here

import gzip
from pathlib import Path

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables import encodings
from movie_ratings.sources.tables.table import tables
from tests.support.tables import rows_of

PLAIN = "title,summary"

SENTENCES = {
    "hungarian": ("Az őszi erdő mélyén egy idős költő keresi a testvérét", "A fiú a szőlőhegy fölött hazafelé tűnődik"),
    "polish": ("Młody żołnierz wraca do wsi i szuka swojej siostry", "Dziewczyna odkrywa tajemnicę starego młyna"),
    "czech": ("Mladý učitel přijíždí do horské vesnice", "Příběh rodiny, která ztratila všechno během zimy"),
    "french": ("Un été la forêt brûle et les élèves cherchent une issue", "Où sont passés les garçons du village ?"),
    "german": ("Ein Mann kehrt für die Beerdigung des Großvaters zurück", "Über den Dächern wächst die Angst, täglich"),
    "spanish": ("Un niño pequeño busca a su compañero en la montaña", "El año que cambió la vida de una señora"),
    "portuguese": ("Uma mãe não aceita a decisão do irmão", "A canção do coração e a solidão da estação"),
    "turkish": ("Genç bir asker köyüne döner ve kız kardeşini arar", "Işık söndüğünde şehir değişir"),
    "lithuanian": ("Jaunas kareivis grįžta į kaimą ir ieško sesers", "Ji išvyko į užsienį žiemą, kai ežeras užšalo"),
    "russian": ("Молодой солдат возвращается в деревню", "Зимой в порту пропадает письмо"),
    "greek": ("Ένας νεαρός στρατιώτης επιστρέφει στο χωριό", "Ψάχνει την αδελφή του τον χειμώνα"),
    "japanese": ("若い兵士が村に帰り、行方不明の妹を探す。", "冬の港で手紙が消える。"),
    "chinese": ("一个年轻的士兵回到村庄，寻找他失踪的妹妹。", "冬天的港口，一封信消失了。"),
    "korean": ("젊은 병사가 마을로 돌아와 여동생을 찾는다.", "겨울 항구에서 편지가 사라진다."),
}
WRITTEN = [
    ("hungarian", "cp1250"),
    ("hungarian", "iso8859-2"),
    ("polish", "cp1250"),
    ("polish", "iso8859-2"),
    ("czech", "cp1250"),
    ("french", "cp1252"),
    ("french", "mac-roman"),
    ("german", "cp1252"),
    ("spanish", "cp1252"),
    ("portuguese", "cp1252"),
    ("turkish", "cp1254"),
    ("lithuanian", "cp1257"),
    ("russian", "cp1251"),
    ("russian", "koi8-r"),
    ("russian", "cp866"),
    ("greek", "cp1253"),
    ("japanese", "cp932"),
    ("japanese", "euc-jp"),
    ("chinese", "gb18030"),
    ("korean", "cp949"),
    ("french", "utf-16"),
    ("russian", "utf-16-le"),
    ("japanese", "utf-16-be"),
    ("german", "utf-32"),
    ("french", "utf-8"),
    ("chinese", "utf-8-sig"),
]


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
def test_the_letters_decide(tmp_path: Path, language: str, encoding: str) -> None:
    rows = [[f"Film {number}", sentence] for number, sentence in enumerate(SENTENCES[language])]
    text = "\n".join([PLAIN, *(f'{title},"{summary}"' for title, summary in rows)])
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    assert rows_of(path) == ([["title", "summary"], *rows], [])


@pytest.mark.parametrize("name", ["Amélie", "It’s a café", "Müller – “no”", "El Niño", "naïve", "À bout", "10 €"])
def test_a_few_letters_are_western(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"{PLAIN}\n{name},A story.\n".encode("cp1252"))
    assert rows_of(path)[0][1] == [name, "A story."]


def test_one_byte_of_another_encoding_costs_its_row_alone(tmp_path: Path) -> None:
    lines = [f"Café {number},Un été.".encode() for number in range(60)]
    lines[40] = b"Caf\xe9 40,Un jour."
    path = tmp_path / "t.csv"
    path.write_bytes(b"\n".join([PLAIN.encode(), *lines]))
    (_, *rows), broken = rows_of(path)
    assert rows == [[f"Café {number}", "Un été."] for number in range(60) if number != 40]
    assert [(row.line, row.reason, row.text) for row in broken] == [(42, "bytes that are no text", "Caf? 40,Un jour.")]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_first_accent_may_stand_behind_megabytes(tmp_path: Path, suffix: str, encoding: str) -> None:
    path = tmp_path / f"t{suffix}"
    plain = "Film,A plain story of an engine.\n" * 40_000
    data = f"{PLAIN}\n{plain}Élodie,Un été.\n".encode(encoding)
    path.write_bytes(gzip.compress(data, 1) if suffix.endswith(".gz") else data)
    (_, *rows), broken = rows_of(path)
    assert (len(rows), rows[-1], broken) == (40_001, ["Élodie", "Un été."], [])


def test_the_evidence_is_that_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "STEP", 64)
    monkeypatch.setattr(encodings, "HEAD", 64)
    first = b"Caf\xe9,Une note.\n" * 3
    path = tmp_path / "t.csv"
    path.write_bytes(PLAIN.encode() + b"\n" + first + "Café,Un été.\n".encode() * 20)
    (_, *rows), broken = rows_of(path)
    assert (len(rows), [row.line for row in broken]) == (20, [2, 3, 4])
    path.write_bytes(PLAIN.encode() + b"\n" + "Café,Un été.\n".encode() + "Forêt,À côté.\n".encode("cp1252") * 20)
    (_, *rows), broken = rows_of(path)
    assert rows[1:] == [["Forêt", "À côté."]] * 20


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_of_two_byte_letters_that_is_cut_in_a_letter_loses_its_last_row(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"{PLAIN}\nÉté,Un récit.\nHiver,Un autre.".encode(encoding)[:-1])
    (_, *rows), broken = rows_of(path)
    assert (rows, [row.line for row in broken]) == ([["Été", "Un récit."]], [3])


def test_a_named_encoding_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"{PLAIN}\nőz,Egy.\n".encode("cp1250"))
    assert rows_of(path, "windows-1250")[0][1] == ["őz", "Egy."]
    path.write_bytes(f"\ufeff{PLAIN}\nÉté,Un.\n".encode())
    assert rows_of(path, "UTF-8")[0] == [["title", "summary"], ["Été", "Un."]]


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "base64", "undefined", "", "a\0b"])
def test_an_encoding_that_does_not_exist_is_named(encoding: str) -> None:
    with pytest.raises(UserError, match="no encoding is called") as error:
        tables(Path("t.csv"), encoding)
    assert "\n" not in str(error.value)


def test_json_has_any_encoding_too(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    text = '{"title": "Été", "summary": "Un récit."}\n{"title": "Forêt", "summary": "À côté."}\n'
    expected = [["title", "summary"], ["Été", "Un récit."], ["Forêt", "À côté."]]
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"):
        path.write_bytes(text.encode(encoding))
        assert rows_of(path) == (expected, []), encoding
