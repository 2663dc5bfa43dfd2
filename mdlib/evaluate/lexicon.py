"""The BI-RADS lexicon for mammography, and which of its groups a reader's own words are about, by keywords.

Groups and terms: ACR BI-RADS Atlas, 5th edition, 2013. The paper compares readers' labels with the lexicon (Wu et al.,
section 3, Fig. 4), but does not say how; the keywords are ours, as are the groups in OTHER_GROUPS, for what is in a
mammogram and is no finding.
"""

import re
from collections.abc import Collection, Iterable

import pandas as pd

LEXICON: dict[str, dict[str, tuple[str, ...]]] = {    # group -> what is described -> terms
    "mass": {"shape": ("oval", "round", "irregular"),
             "margin": ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated"),
             "density": ("high density", "equal density", "low density", "fat-containing")},
    "calcification": {"typically benign": ("skin", "vascular", "coarse", "large rod-like", "round", "rim", "dystrophic",
                                           "milk of calcium", "suture"),
                      "suspicious morphology": ("amorphous", "coarse heterogeneous", "fine pleomorphic", "fine linear"),
                      "distribution": ("diffuse", "regional", "grouped", "linear", "segmental")},
    "architectural distortion": {},
    "asymmetry": {"kind": ("asymmetry", "global", "focal", "developing")},
    "associated features": {"kind": ("skin retraction", "nipple retraction", "skin thickening", "trabecular thickening",
                                     "axillary adenopathy")},
    "special case": {"kind": ("intramammary lymph node", "skin lesion", "solitary dilated duct")},
    "breast composition": {"density": ("almost entirely fatty", "scattered fibroglandular density",
                                       "heterogeneously dense", "extremely dense")}}
OTHER_GROUPS = ("vessel", "nipple", "skin", "background", "normal tissue")
GROUPS = (*LEXICON, *OTHER_GROUPS)
FINDINGS = ("mass", "calcification", "architectural distortion", "asymmetry", "associated features")

CALC = r"(?:calc|calf|calif|\bmcs?\b)"          # calcified, microcalcs, MCs, "calfications", "macrocalification"
WITH_CALC, WITH_MASS = rf"^(?=.*{CALC}).*", r"^(?=.*\bmass).*"
VESSEL = r"(?:\bvessels?\b|\bvascular|\barter(?:y|ies|ial)\b)"
KEYWORDS: tuple[tuple[str, str, str], ...] = (              # group; term, or what is described, or ""; pattern
    ("mass", "", r"\bmass(?:es)?\b"),
    ("mass", "irregular", rf"{WITH_MASS}\birregular"),
    ("mass", "circumscribed", r"\bcircumscribed|\bsmooth edges?\b"),
    ("mass", "indistinct", r"\bindistinct|\bblurr?i?ed\b|\bblurry"),
    ("mass", "spiculated", r"\bspicul|\bspeculations?\b"),
    ("calcification", "", CALC),
    ("calcification", "vascular", WITH_CALC + VESSEL),
    ("calcification", "typically benign", WITH_CALC + r"(?:\bbenign\b|\bmacro-?(?:calc|calf|calif)|\blarge\b)"),
    ("calcification", "coarse", WITH_CALC + r"\b(?:coarse(?! heterogeneous)|popcorn)"),
    ("calcification", "suspicious morphology", WITH_CALC + r"(?:(?<!not )\bsuspicious|\bmalignant)"),
    ("calcification", "fine pleomorphic", WITH_CALC + r"\bpleomorphic"),
    ("calcification", "amorphous", WITH_CALC + r"\bamorphous"),
    ("calcification", "grouped", WITH_CALC + r"\b(?:cluster|grouped)"),
    ("calcification", "linear", WITH_CALC + r"\blinear\b"),
    ("architectural distortion", "", r"\bdistort"),
    ("asymmetry", "", r"\basymmetr"),
    ("associated features", "skin retraction", r"\bskin retraction"),
    ("associated features", "nipple retraction", r"\bnipple retraction"),
    ("associated features", "skin thickening", r"\bskin thickening"),
    ("associated features", "trabecular thickening", r"\btrabecular thickening"),
    ("associated features", "axillary adenopathy", r"\badenopathy"),
    ("special case", "intramammary lymph node", r"\blymph nodes?\b"),
    ("special case", "solitary dilated duct", r"\bdilated ducts?\b"),
    ("breast composition", "", r"\bdenser? (?:breast|tissue|parenchyma)|\bbreast density|\bparenchym"),
    ("vessel", "", VESSEL),
    ("nipple", "", r"\bnipple\b(?! retraction)"),
    ("skin", "", r"\bskin\b(?! retraction| thickening| lesion)"),
    ("background", "", r"\bpectoral|\bchest wall|\b(?:inframammary|skin) folds?\b|\bbreast edge"
                       r"|\bedges? of (?:the )?breast|\binterface\b"),
    ("normal tissue", "", r"^(?!.*\binterface\b).*(?:\b(?:normal|healthy|benign) (?:\w+ )?tissue"
                          r"|(?<!dense )\bbreast tissue)"))
_PATTERNS = tuple((group, term, re.compile(pattern, re.IGNORECASE)) for group, term, pattern in KEYWORDS)


def terms(text: str) -> list[tuple[str, str]]:
    """The groups and terms that a reader's text names, each once, in the order of KEYWORDS: (group, term).

    term "": the text names the group. A text is taken in pieces, between line breaks, full stops and semicolons: words
    that belong together stand in one. Spiculation is a margin of a mass; calcified vessels are calcifications, and
    vessels too. Keywords see no conditions: "masses, which can be benign if smooth" names a mass. Abbreviations (MCs)
    and the readers' slips of the pen ("macrocalification") count. Texts without keyword, such as "N/A", give nothing.
    """
    pieces = [piece for piece in re.split(r"[.;\r\n]+", text) if piece.strip()]
    return [(group, term) for group, term, pattern in _PATTERNS if any(pattern.search(piece) for piece in pieces)]


def groups(text: str) -> frozenset[str]:
    """The groups that a reader's text names, of GROUPS."""
    return frozenset(group for group, _ in terms(text))


def entangled(found: Collection[str]) -> bool:
    """Whether groups hold more than one of FINDINGS: one unit for several findings (Wu et al., section 2.4)."""
    return len(set(found) & set(FINDINGS)) > 1


def table(texts: Iterable[str]) -> pd.DataFrame:
    """One row per text, one bool column per group of GROUPS, and `entangled`."""
    found = [groups(text) for text in texts]
    columns = {group: [group in of for of in found] for group in GROUPS}
    return pd.DataFrame(columns | {"entangled": [entangled(of) for of in found]}, dtype=bool)
