"""What was measured of attention in all folds and seeds of a published run, as tables and in words."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from mdlib.evaluate.tables import interval
from mdlib.recipes.mdnet import kept, located, moved
from mdlib.recipes.mdnet.located import ALL, ENTROPY, EVERY_IMAGE, HITS, NAMES, OTHER, OWN, SENTENCE, WORD
from mdlib.recipes.mdnet.moved import BEYOND, FALLS, FOLLOWS, MIRRORED, MORE, OF_IMAGE, OF_WORD, OWN_MORE, STAYS, WORDS
from mdlib.study.saliency import LOCATION_PRIOR, UNIFORM
from mdlib.study.tables import with_interval

UNKNOWN = "What lies where in these images is known of phantoms only."
MEASURE_NAMES = {ENTROPY: "entropy (bits)", "pointing game": "pointing game", "mass accuracy": "mass"}
GAME, MASS = HITS
TABLES = located.TABLES | moved.TABLES
# by the sign of a difference, where its interval leaves 0 out
MOVES = {0: "which of the two it does more is not shown", 1: "it follows the image more",
         -1: "it stays in its place more than it follows the image"}
MOST = {0: "not shown to differ", 1: "more", -1: "less"}
HIT = {0: "not shown to differ", 1: "AAS hits more", -1: "AAS hits less"}
FOCAL = {0: "which of the two is more focal is not shown", 1: "AAS is less focal, not more as in Fig. 3",
         -1: "AAS is more focal, as Fig. 3 shows"}
LOOKS = {0: "not shown to differ from", 1: "more than", -1: "less than"}


def published(name: str = kept.GRID) -> dict[str, pd.DataFrame]:
    """The tables of TABLES of a published result; name as `grid/embedded`."""
    return {which: located.kept(name, which) for which in TABLES}


def table(rows: pd.DataFrame, index: Sequence[str], column: str, digits: int = 2) -> pd.DataFrame | str:
    """Means with intervals as text: rows by `index`, columns by `column`."""
    if rows.empty:
        return UNKNOWN
    texts = [with_interval(*ends, digits=digits) for ends in rows[["mean", "low", "high"]].to_numpy()]
    named = rows.assign(text=texts, network=rows["network"].map(lambda each: NAMES.get(each, each)))
    wide = named.pivot_table(index=list(index), columns=column, values="text", aggfunc="first", sort=False)
    return wide[list(dict.fromkeys(named[column]))].fillna("").rename(columns=MEASURE_NAMES).rename_axis(
        index=[""] * len(index), columns="")


def sharp_and_right(words: pd.DataFrame, unit: str = WORD) -> pd.DataFrame | str:
    """MEASURES of the attention of all parts, one row per network, beside maps that see no image."""
    return table(words.query(f"part == '{ALL}' and unit in ['{unit}', '']"), ["network"], "measure")


def by_part(words: pd.DataFrame, measure: str = "pointing game", unit: str = SENTENCE) -> pd.DataFrame | str:
    """One measure by part of the report, one row per part, of each network."""
    return table(words.query(f"measure == '{measure}' and unit == '{unit}'"), ["part"], "network")


def of_classes(classes: pd.DataFrame, measure: str = "pointing game") -> pd.DataFrame | str:
    """One measure of the class attention by reported conclusion, one row per network."""
    return table(classes.query(f"measure == '{measure}'"), ["network"], "group")


def of_elements(elements: pd.DataFrame) -> pd.DataFrame | str:
    """The share of attention that lies in mitoses and nucleoli, by who looks and for which sentence."""
    chosen = elements.query("measure == 'mass accuracy'") if len(elements) else elements
    return table(chosen, ["network", "sentence"], "element", 3)


def of_mirrors(mirrors: pd.DataFrame) -> pd.DataFrame | str:
    """The correlations of `moved.mirrors`, one row per network and kind of attention."""
    return table(mirrors, ["what", "network"], "measure")


def of_shares(shares: pd.DataFrame) -> pd.DataFrame | str:
    """How much of attention is due to the image and to the word, one row per network."""
    return table(shares, ["network"], "measure")


def of_twins(twins: pd.DataFrame) -> pd.DataFrame | str:
    """How often a stated grade falls or differs when the image changes, of MDNet."""
    return table(twins, ["part", "change"], "measure")


def conclusions(tables: dict[str, pd.DataFrame]) -> Markdown:
    """What the measurements say, the tables of TABLES, each sentence computed."""
    told = [of(tables) for of in (_sharper, _hits, _places, _class_attention, _elements, _twins)]
    told = [sentence for sentence in told if sentence]
    return Markdown("\n".join(f"- {sentence}" for sentence in (told if len(tables["elements"]) else [*told, UNKNOWN])))


def mean(of: pd.DataFrame, **chosen: str) -> float:
    """The mean in the row that has these values; NaN where there is none."""
    rows = of[(of[list(chosen)] == pd.Series(chosen)).all(axis=1)] if len(of) else of
    return float(rows["mean"].iloc[0]) if len(rows) else float("nan")


def difference(tables: dict[str, pd.DataFrame], what: str, second: str, measure: str) -> tuple[str, int]:
    """A row of `located.differences` as text, with 1 (above), −1 (below) or 0 (not shown to differ); "" without it."""
    of = tables["differences"]
    rows = of[(of["what"] == what) & (of["second"] == second) & (of["measure"] == measure)] if len(of) else of
    return stated(rows.iloc[0]) if len(rows) else ("", 0)


def stated(row: pd.Series) -> tuple[str, int]:
    """A difference and its interval as text, and its sign where the interval leaves 0 out."""
    text = f"{row['mean']:+.2f} ({interval(row['low'], row['high'])})".replace("-", "−")
    return text, int(row["low"] > 0) - int(row["high"] < 0)


def _sharper(tables: dict[str, pd.DataFrame]) -> str:
    text, sign = difference(tables, WORD, "mdnet_original", ENTROPY)
    bits = {name: mean(tables["words"], network=name, part=ALL, measure=ENTROPY)
            for name in ("mdnet", "mdnet_original", UNIFORM)}
    verdict = FOCAL[sign]
    return text and (f"**Sharper?** The attention of a word has {bits['mdnet']:.2f} bits with AAS and "
                     f"{bits['mdnet_original']:.2f} without, a uniform map {bits[UNIFORM]:.2f}. The difference is "
                     f"{text}: {verdict}.")


def _hits(tables: dict[str, pd.DataFrame]) -> str:
    others = "mdnet_original", "mdnet_local", UNIFORM, LOCATION_PRIOR
    rows = {name: difference(tables, WORD, name, GAME) for name in others}
    told = [f"{NAMES[name]}: {text}, {HIT[sign]}" for name, (text, sign) in rows.items() if text]
    hit = mean(tables["words"], network="mdnet", unit=WORD, part=ALL, measure=GAME)
    whole, sign = difference(tables, SENTENCE, "mdnet_original", GAME)
    whole = whole and f" Of whole sentences the difference to {NAMES['mdnet_original']} is {whole}, {HIT[sign]}."
    return "" if not told else (f"**On the urothelium?** The highest place of a word's attention lies on urothelium in "
                                f"{hit:.0%} of the words with AAS. The difference to {'; to '.join(told)}.{whole}")


def _places(tables: dict[str, pd.DataFrame]) -> str:
    told = []
    for name in dict.fromkeys(tables["shares"]["network"]):
        follows, stays = (mean(tables["mirrors"], network=name, what=WORDS, measure=measure)
                          for measure in (FOLLOWS, STAYS))
        share, word = (mean(tables["shares"], network=name, measure=measure) for measure in (OF_IMAGE, OF_WORD))
        of = tables["mirrors"]
        more = of[(of["network"] == name) & (of["what"] == WORDS) & (of["measure"] == MORE)]
        moves = MOVES[stated(more.iloc[0])[1]] if len(more) else MOVES[0]
        told.append(f"{NAMES[name]}: {share:.0%} of the shape of its maps differs between images, {word:.0%} between "
                    f"the words of an image; the map of a mirrored image correlates {follows:.2f} with the mirrored "
                    f"map and {stays:.2f} with the map as it was: {moves}")
    return f"**Image or place?** {'. '.join(told)}.".replace(" -", " −") if told else ""


def _class_attention(tables: dict[str, pd.DataFrame]) -> str:
    hit = mean(tables["classes"], network="mdnet", group=EVERY_IMAGE, measure=GAME)
    rows = {name: difference(tables, "class", name, GAME) for name in (UNIFORM, LOCATION_PRIOR, "ecnet")}
    told = [f"{NAMES[name]}: {text}, {MOST[sign]}" for name, (text, sign) in rows.items() if text]
    return "" if not told else (f"**Class attention.** Its highest place lies on urothelium in {hit:.0%} of the "
                                f"images. The difference to {'; to '.join(told)}.")


def _elements(tables: dict[str, pd.DataFrame]) -> str:
    told, of = [], tables["elements"]
    for element in dict.fromkeys(of["element"]) if len(of) else ():
        share = mean(of, element=element, network="mdnet", sentence=OWN, measure=MASS)
        chance = mean(of, element=element, network=UNIFORM, measure=MASS)
        verdict = LOOKS[difference(tables, element, OTHER, MASS)[1]]
        told.append(f"{element}: {share:.1%} of the attention of its own sentence lies in them, {chance:.1%} of a "
                    f"uniform map; {verdict} the attention of the other sentences")
    return f"**Does the sentence look at what it names?** {'; '.join(told)}." if told else ""


def _twins(tables: dict[str, pd.DataFrame]) -> str:
    told, of = [], tables["twins"]
    for part in dict.fromkeys(of["part"]) if len(of) else ():
        change = f"without {part}"
        falls, mirror = (mean(of, part=part, change=name, measure=FALLS) for name in (change, MIRRORED))
        rows = of[(of["part"] == part) & (of["change"] == change) & (of["measure"] == BEYOND)]
        text, sign = stated(rows.iloc[0]) if len(rows) else ("–", 0)
        own = of[(of["part"] == part) & (of["change"] == change) & (of["measure"] == OWN_MORE)]
        less, decided = stated(own.iloc[0]) if len(own) else ("–", 0)
        told.append(f"{part} taken away, the stated grade falls in {falls:.0%} of the images, and in {mirror:.0%} "
                    f"where the image is only mirrored: {MOST[sign]} ({text}). Against taking away what the other "
                    f"sentence names: {MOST[decided]} ({less}), so that it depends on just this is "
                    f"{'shown' if decided == 1 else 'not shown'}")
    return f"**Does the sentence depend on it?** {'. '.join(told)}." if told else ""
