"""Names: none that is taken leads anywhere else, on any system; and people keep the names that they write with."""

from __future__ import annotations

import ntpath
import posixpath
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cases import case
from netstructer.errors import UnsafeName
from netstructer.names import NAME_BYTES, PATH_BYTES, PATH_PARTS, check_name, check_parts, fold, shown

DEVICES = [
    "CON",
    "PRN",
    "AUX",
    "NUL",
    "CONIN$",
    "CONOUT$",
    *(f"{p}{n}" for p in ("COM", "LPT") for n in "123456789¹²³"),
]
HOSTILE = {
    "nothing": ["", " ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "\u200b", "\u3164", "\u115f\u1160", "\uffa0"],
    "directories": [".", "..", "...", "....", ". ", " .", ".. ", " ..", ". .", ".. .", "..\t", "..\u00a0"],
    "absolute": [
        *(
            "/",
            "//",
            "/etc/passwd",
            "/a",
            "a/",
            "a//b",
            "./a",
            "../a",
            "../../etc/passwd",
            "a/../b",
            "a/..",
            "a/.",
            "//h/s",
        ),
        *(
            "\\",
            "\\\\",
            "\\a",
            "a\\",
            "..\\a",
            "..\\..\\a",
            "a\\..\\b",
            "\\Windows\\x",
            "a\\b",
            "a/\\b",
            "..\\/..",
            "~/a",
        ),
    ],
    "drives and UNC": [
        *("C:", "c:", "C:a", "C:\\", "C:\\a", "C:/a", "C:..", "Z:x", "\\\\host\\share", "\\\\host\\share\\a"),
        *(
            "\\\\?\\C:\\a",
            "\\\\.\\C:",
            "\\\\.\\NUL",
            "\\??\\C:\\a",
            "//?/C:/a",
            "//./pipe/x",
            "\\\\?\\UNC\\h\\s",
            "file:///etc",
        ),
        *("\\\\.\\GLOBALROOT\\Device", "\\Device\\HarddiskVolume1", "http://a"),
    ],
    "streams": [
        *(
            "a:b",
            "a.txt:s",
            "a::$DATA",
            "a.txt::$DATA",
            "a:$I30:$INDEX_ALLOCATION",
            ":a",
            "a:",
            "..::$INDEX_ALLOCATION",
        ),
        *(".git::$INDEX_ALLOCATION", "a:..", "..namedfork", "..NamedFork", "..namedfor\u212a"),
    ],
    "devices": [
        *DEVICES,
        *(name.lower() for name in DEVICES),
        *(f"{name.title()}.txt" for name in DEVICES),
        *(
            "nul.tar.gz",
            "CON.",
            "con .txt",
            "aux  .c",
            "NUL ",
            "nul:",
            "com1.",
            "LPT9.x.y",
            "ＣＯＮ",
            "ｎｕｌ.txt",
            "ＣＯＭ１",
            "Ｃon",
        ),
        *("CON\u200c.é", "N\ufe0fUL.é", "com①", "lpt₁", "aux\u200d.ü"),
    ],
    "what Windows refuses": [*(f"a{c}b" for c in '<>"|?*'), "*", "?", "a?", "*.txt", "<x>", 'x"', "a|b", "CON|", "a*"],
    "what Windows drops": ["a.", "a..", "a ", "a. ", "a .", ".git.", ".git ", ".a.", "setup.exe.", "a.txt . ."],
    "white space that people drop": [" a", "a\u00a0", "\u00a0a", "a\u2003", "\u3000a", "a\u2009", " .git", "\u1680a"],
    "controls": [
        *(
            "a\0",
            "\0",
            "a\0.txt",
            "\0a",
            "a\0/../b",
            "../\0",
            "a\x01",
            "a\x1b[31m",
            "\x1b]0;x\x07",
            "a\x7f",
            "a\x80",
            "a\x9b1m",
        ),
        *(
            "a\nb",
            "a\rb",
            "a\r\nb",
            "a\tb",
            "\na",
            "a\n",
            "a\x0bb",
            "a\x0cb",
            "a\x85b",
            "a\u2028b",
            "a\u2029b",
            "a\x08b",
        ),
    ],
    "short names": [
        *(
            "GIT~1",
            "git~1",
            "PROGRA~1",
            "progra~1.txt",
            "a~1",
            "A~9.TXT",
            "GI7EBA~1",
            "ABCDEF~12",
            "SETUP~1.EXE",
            "a~1.",
            "Ｇit~1",
        ),
        *("git\uff5e1", "GIT~１"),
    ],
    "turned around": [
        *(f"photo{c}gpj.exe" for c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"),
        "\u202etxt.exe",
        "a\u202e",
    ],
    "unseen": [
        *(
            f"a{c}b"
            for c in "\u200b\u2060\u2061\u2062\u2063\u2064\u206a\u206f\ufeff\u00ad\u034f\u180e\ufff9\ufffa\ufffb"
        ),
        *(f"é{c}b" for c in "\u200b\u2060\ufeff\u00ad\u034f\u115f\u17b4\u3164\uffa0\U000e0001\U000e0061\U0001d173"),
        *(
            ".g\u200cit",
            ".g\u200dit",
            ".git\u200c",
            "\u200c.git",
            ".gi\ufe0ft",
            ".git\U000e0100",
            "a\u180bb",
            "\u200d",
            "\u200c\u200d",
        ),
        *("..\u200c", ".\u200c.", "\u200c..", "..\ufe0f", "setup.py\ufe0e"),
    ],
    "read as ASCII by some": [
        "\uf02e\uf02e",
        "a\uf03ab",
        "\uf05c",
        "a\uf02f",
        "\uf000",
        "a\uf0ff",
        "\uf022",
        "a\uf07f",
    ],
    "dots in disguise": [
        *(
            "．．",
            "․․",
            "‥",
            "…",
            "．",
            "․",
            "﹒﹒",
            "．.",
            ".․",
            "‥．",
            "．．．",
            "．\u3000．",
            "..／a",
            "a／..",
            "．．／etc",
        ),
        *("．．＼a", "..∕a", "..⁄a", "a∕..∕b", "..⧵a", "..﹨a", "．．¥a", "a￥..", "..₩a", "a／．／b", "⧸..⧸a"),
        *(
            "%2e%2e",
            "%2E%2E",
            "%2e.",
            ".%2e",
            "%2e",
            "%2e%2e%2fa",
            "..%2fa",
            "..%5ca",
            "a%2f..",
            "%252e%252e",
            "..%252fa",
        ),
        *("%252e%252e%252fa", "%ef%bc%8e%ef%bc%8e", "a%5c..%5cb", "%2e%2e%5c", "%2e%20"),
    ],
    "no Unicode": [
        "\ud800",
        "a\udfff",
        "\udc80",
        "a\udcffb",
        "\ud83d",
        "\ud83d\ude00",
        "\uffff",
        "a\ufffe",
        "\ufdd0",
        "\U0010ffff",
    ],
    "too long": [
        "a" * 256,
        "é" * 128,
        "語" * 86,
        "😀" * 64,
        "a" * 255 + "é",
        "a" * 4096,
        "x" * 100_000,
        "a" * 252 + ".txt",
    ],
}
CASES = [(kind, name) for kind, names in HOSTILE.items() for name in names]

ORDINARY = [
    *(
        "a",
        "README.md",
        ".hidden",
        ".git",
        "..a",
        "...a",
        "a..b",
        "a b",
        "a  b.txt",
        "-rf",
        "--",
        "~",
        "~user",
        "#a#",
        "a~",
        "a.~1~",
    ),
    *(
        "report (final) [2].pdf",
        "50%.txt",
        "100%2Fyear.txt",
        "a%b",
        "%",
        "%zz",
        "%2",
        "a+b=c,d;e!f@g^h&i'j{k}$l`m",
        "$MFT",
        "a_b-c",
    ),
    *(
        "CONSOLE",
        "console.log",
        "CON1",
        "COM",
        "COM0",
        "COM10",
        "com",
        "LPT",
        "nulls",
        "auxiliary",
        "a.con",
        "x.nul",
        "conin",
        "PRN_",
    ),
    *("abcdefg~1", "a~b", "~1", "a~1.html", "a~1234567", "a" * 255, "é" * 127, "語" * 85, "tar.gz", "1", "0", "None"),
    *(
        "Übergröße.txt",
        "naïve café.doc",
        "Ελληνικά.txt",
        "Русский файл.doc",
        "日本語のファイル.txt",
        "レポート／最終.doc",
        "表＿２０２４.xls",
    ),
    *(
        "中文文件.pdf",
        "한국어 파일.hwp",
        "ｶﾞｷﾞ.txt",
        "עברית.txt",
        "العربية.pdf",
        "می‌خواهم.txt",
        "हिन्दी.txt",
        "क्‍ष.txt",
        "ไทย.doc",
        "தமிழ்.txt",
    ),
    *(
        "Tiếng Việt.odt",
        "İstanbul ıı.txt",
        "ẞß.txt",
        "Cafe\u0301.txt",
        "Å.txt",
        "ﬁle.txt",
        "½ cup.txt",
        "a…b",
        "“x”",
        "don’t",
        "№5",
    ),
    *(
        "❤️.png",
        "1️⃣.png",
        "👨‍👩‍👧‍👦.jpg",
        "🏳️‍🌈.svg",
        "🇩🇪.txt",
        "辻󠄀.txt",
        "𝒳.tex",
        "\uf8ff.txt",
        "a\ufffdb",
        "Screenshot 9.41.00\u202fAM.png",
    ),
]


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in CASES}))
def test_a_hostile_name_is_refused(kind: str) -> None:
    for name in (name for found, name in CASES if found == kind):
        with case(name):
            with pytest.raises(UnsafeName) as refused:
                check_name(name)
            text = str(refused.value)

            assert refused.value.name == name
            assert text.isprintable()
            assert len(text) < 1000
            with pytest.raises(UnsafeName):
                check_parts(["a", name])


@pytest.mark.parametrize("name", [".", ".."])
def test_a_directory_is_named_as_one(name: str) -> None:
    with pytest.raises(UnsafeName, match="a directory that is there already"):
        check_name(name)


def test_there_are_hostile_names_enough() -> None:
    assert len({name for _, name in CASES}) >= 300


def test_an_ordinary_name_is_taken() -> None:
    for name in ORDINARY:
        with case(name):
            assert check_name(name) == name
            assert check_parts([name, name]) == (name, name)


@pytest.mark.parametrize("name", [None, 5, b"a", ["a"], True])
def test_what_is_no_text_is_refused(name: object) -> None:
    with pytest.raises(UnsafeName, match="expected a name as text"):
        check_name(name)  # type: ignore[arg-type]  # that is the point, here and below
    with pytest.raises(UnsafeName, match="expected a name as text"):
        check_parts([name])  # type: ignore[list-item]


@pytest.mark.parametrize("parts", ["a", "abc", b"a", None, {"a": 1}, {"a"}, 5])
def test_what_is_no_list_is_no_path(parts: object) -> None:
    with pytest.raises(UnsafeName, match="expected a path as a list"):
        check_parts(parts)  # type: ignore[arg-type]


def test_paths_have_their_limits() -> None:
    longest = [*["a" * 255] * 15, "b" * 255, "c"]
    exact = [*["a" * 255] * 15, "b" * 253, "cc"]

    assert check_parts(longest[:16]) == tuple(longest[:16])
    assert check_parts(exact) == tuple(exact)
    assert len("/".join(exact)) == PATH_BYTES
    assert len(check_parts(["a"] * PATH_PARTS)) == PATH_PARTS
    for parts in ([], (), ["a"] * (PATH_PARTS + 1), longest, ["é" * 127] * 17, ["a", ""], ["a", "..", "b"]):
        with pytest.raises(UnsafeName):
            check_parts(parts)


def test_names_at_the_limit_are_counted_in_bytes() -> None:
    for unit in ("a", "é", "語", "😀"):
        width = len(unit.encode())
        check_name(unit * (NAME_BYTES // width))
        with pytest.raises(UnsafeName, match="longer than 255 bytes"):
            check_name(unit * (NAME_BYTES // width + 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README", "readme"),
        ("Straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("Ångström", "\u212bngström"),
        ("می‌خواهم", "میخواهم"),
        ("❤️", "❤"),
        ("ΣΑΣ", "σας"),
        ("ﬁle", "FILE"),
        ("Ꮳ", "ꮳ"),
        ("\u1e9b\u0323", "\u1e9b\u0323".upper()),
    ],
)
def test_names_that_some_system_takes_for_one_fold_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a.txt", "a.txt~"), ("é", "e"), ("a b", "ab"), ("ｶ", "カ")])
def test_names_that_every_system_keeps_apart_fold_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_what_is_shown_is_one_short_line() -> None:
    assert shown("a'b") == '"a\'b"'
    assert shown("\x1b[31m\n\u202e") == r"'\x1b[31m\n\u202e'"
    assert shown("日本") == "'日本'"
    assert shown("a" * 80) == repr("a" * 80)
    assert shown("a" * 81) == repr("a" * 79 + "…")


# --- whatever it is -------------------------------------------------------------------------------------------------

TRICKY = st.sampled_from(
    [*"./\\:~% \0\u202e\u200c\ufe0f．／＼․‥éaAcon1", "..", "%2e", "%2f", "nul", "::", "$DATA", "~1"]
)
NAMES = st.one_of(
    st.text(max_size=12),
    st.lists(TRICKY, max_size=8).map("".join),
    st.lists(st.sampled_from([name for _, name in CASES if len(name) < 20] + ORDINARY), max_size=3).map("".join),
)


@given(st.lists(NAMES, min_size=1, max_size=4))
@example(["..", "a"])
@example(["C:", "a"])
def test_what_is_taken_stays_in_its_directory(parts: list[str]) -> None:
    try:
        taken = check_parts(parts)
    except UnsafeName:
        return

    for system, root in ((posixpath, "/srv/files"), (ntpath, "C:\\srv\\files")):
        joined = system.normpath(system.join(root, *taken))
        assert system.commonpath([root, joined]) == root
        assert joined == root + system.sep + system.sep.join(taken)
        assert not system.isabs(taken[0])
        assert system.splitdrive(taken[0])[0] == ""
        assert len(joined.split(system.sep)) == len(root.split(system.sep)) + len(taken)


@given(NAMES)
def test_what_is_taken_can_be_written_and_printed(name: str) -> None:
    refusal = ""
    try:
        check_name(name)
    except UnsafeName as refused:
        refusal = str(refused)

    assert refusal.isprintable()
    if refusal:
        return
    assert 1 <= len(name.encode("utf-8")) <= NAME_BYTES
    assert len(name.encode("utf-16-le")) <= 2 * NAME_BYTES
    assert not {unicodedata.category(character) for character in name} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(name.splitlines()) == 1


@given(NAMES)
def test_folding_folds_once(one: str) -> None:
    assert fold(fold(one)) == fold(one)
    assert fold(unicodedata.normalize("NFC", one)) == fold(one)
    assert fold(unicodedata.normalize("NFD", one)) == fold(one)
    assert fold(one.casefold()) == fold(one)
