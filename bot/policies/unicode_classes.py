"""Names of Unicode classes in, their code points out; and which characters differ by case alone.

Only patterns with `\\p{...}`, or `(?i)` on characters outside ASCII, need this. Go reads the tables of its own Unicode version, this
the interpreter's; they differ in code points assigned between the two.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from bot.policies.intervals import Intervals, normal

_CATEGORIES = (
    "L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs Cc Cf Co Cs C Cn"
)
_ALIASES = {
    "Casedletter": "LC", "Closepunctuation": "Pe", "Combiningmark": "M", "Connectorpunctuation": "Pc", "Control": "Cc",
    "Currencysymbol": "Sc", "Dashpunctuation": "Pd", "Decimalnumber": "Nd", "Enclosingmark": "Me", "Finalpunctuation": "Pf",
    "Format": "Cf", "Initialpunctuation": "Pi", "Letter": "L", "Letternumber": "Nl", "Lineseparator": "Zl",
    "Lowercaseletter": "Ll", "Mark": "M", "Mathsymbol": "Sm", "Modifierletter": "Lm", "Modifiersymbol": "Sk",
    "Nonspacingmark": "Mn", "Number": "N", "Openpunctuation": "Ps", "Other": "C", "Otherletter": "Lo", "Othernumber": "No",
    "Otherpunctuation": "Po", "Othersymbol": "So", "Paragraphseparator": "Zp", "Privateuse": "Co", "Punctuation": "P",
    "Separator": "Z", "Spaceseparator": "Zs", "Spacingmark": "Mc", "Surrogate": "Cs", "Symbol": "S", "Titlecaseletter": "Lt",
    "Unassigned": "Cn", "Uppercaseletter": "Lu", "Cntrl": "Cc", "Digit": "Nd", "Punct": "P",
}  # fmt: skip
_UNDECIDED = {"C", "Cn", "Cs"}
_SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi
    Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform
    Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic
    Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew
    Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li
    Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani
    Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive
    Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu
    Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian
    Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician
    Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo
    Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan
    Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square"""


def ranges_of(name: str) -> Intervals | None:
    """The code points of a class; () for a class that exists and is not known here (scripts); None if Go knows no such class.

    Names are compared as Go does since 1.25: case, `_`, `-` and spaces do not count.
    """
    bare = name.translate({ord(c): None for c in "_- "})
    canonical = bare[:1].upper() + bare[1:].lower() if bare.isascii() else bare
    if canonical == "Any":
        return ((0, sys.maxunicode),)
    if canonical == "Ascii":
        return ((0, 0x7F),)
    category = "LC" if canonical == "Lc" else _ALIASES.get(canonical, canonical)
    if category in _CATEGORIES.split():
        return () if category in _UNDECIDED else _category(category)
    if canonical == "Assigned" or not {name, canonical}.isdisjoint(_SCRIPTS.split()):
        return ()
    return None


@lru_cache(maxsize=64)
def _category(name: str) -> Intervals:
    members = ("Lu", "Ll", "Lt") if name == "LC" else (name,)
    return normal(pair for category, pairs in _runs().items() if category.startswith(members) for pair in pairs)


@lru_cache(maxsize=1)
def _runs() -> Mapping[str, list[tuple[int, int]]]:
    out: dict[str, list[tuple[int, int]]] = {}
    first, current = 0, unicodedata.category("\0")
    for point in range(1, sys.maxunicode + 2):
        category = unicodedata.category(chr(point)) if point <= sys.maxunicode else ""
        if category != current:
            out.setdefault(current, []).append((first, point - 1))
            first, current = point, category
    return out


@lru_cache(maxsize=1)
def case_orbits() -> Mapping[int, tuple[int, ...]]:
    """Each character that has simple case variants -> itself and all of them (as Go's unicode.SimpleFold links them)."""
    linked: dict[int, int] = {}

    def root(point: int) -> int:
        while linked.get(point, point) != point:
            point = linked[point]
        return point

    dotted = (0x130, 0x131)  # the Turkish i has no simple variant that is independent of the language
    for point in range(0x1F000):
        if point not in dotted:
            character = chr(point)
            for other in (character.lower(), character.upper()):
                if len(other) == 1 and other != character:
                    one, two = sorted((root(point), root(ord(other))))
                    linked[one], linked[two] = one, one
    orbits: dict[int, list[int]] = {}
    for point in sorted(linked):
        orbits.setdefault(root(point), []).append(point)
    return {point: tuple(orbit) for orbit in orbits.values() for point in orbit}
