"""Films (mammograms) with outlined findings: what the readers of DDSM, CBIS-DDSM and mini-MIAS return."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mdlib.data.images import read_grey
from mdlib.errors import DataError

COLUMNS = ("film", "path", "patient", "side", "view", "density", "height", "width")
FINDING_COLUMNS = ("film", "number", "kind", "malignant", "outlined")
SIDES, VIEWS = ("left", "right"), ("CC", "MLO", "")


@dataclass(frozen=True, eq=False)
class Films:
    """A collection of mammograms: one row per film, one row per finding; no pixels.

    `table`: film (unique name), path (relative to `data_dir`), patient, side (left or right), view (CC, MLO, or "" if
    not known), density (1 to 4, NaN where not known), height and width (pixels of the file), and part (train, val,
    test) where the collection says it. `findings`, film after film in the table's order: film, number (unique within
    the film, from 1), kind ("mass", "calcification", or what the collection has; "mass, calcification" is both),
    malignant (bool), outlined (bool: whether the collection says where the finding is), and what else it says.
    `outline(films, row)`, a function of a module, so that it can be pickled: the pixels of the finding in that row of
    `findings`, bool (height, width) of its film. `truth`: the folder `truth/` of a phantom collection, or None.

    Raises DataError for a column that is missing, a film that occurs twice or has another side or view, and a finding
    of an unknown film or that occurs twice.
    """

    data_dir: Path
    table: pd.DataFrame
    findings: pd.DataFrame
    outline: Callable[["Films", int], np.ndarray]
    truth: Path | None = None

    def __post_init__(self):
        for name, there, needed in (("table", self.table, COLUMNS), ("findings", self.findings, FINDING_COLUMNS)):
            missing = [column for column in needed if column not in there]
            if missing:
                raise DataError(f"no column {', '.join(map(repr, missing))}", f"parameter {name}",
                                f"Give {', '.join(needed)}.")
        faults = {"occurs twice": self.table["film"].duplicated(),
                  f"has a side that is none of {', '.join(SIDES)}": ~self.table["side"].isin(SIDES),
                  f"has a view that is none of {', '.join(filter(None, VIEWS))}": ~self.table["view"].isin(VIEWS)}
        self._refuse("film", self.table["film"], faults)
        faults = {"is not in the table": ~self.findings["film"].isin(self.table["film"]),
                  "has two findings of one number": self.findings.duplicated(["film", "number"])}
        self._refuse("film of a finding,", self.findings["film"], faults)

    def _refuse(self, what: str, names: pd.Series, faults: dict[str, pd.Series]) -> None:
        for fault, rows in faults.items():
            if rows.any():
                raise DataError(f"{what} {names[rows].iloc[0]!r} {fault}; {rows.sum():,} such rows",
                                str(self.data_dir), "Correct or remove these rows.")

    def paths(self) -> list[Path]:
        """The file of each row of `table`."""
        return [Path(self.data_dir, path) for path in self.table["path"]]

    def read(self, row: int) -> np.ndarray:
        """The film in one row of `table`, uint8 (H, W), 0 black, by `images.read_grey`. Raises DataError."""
        path = Path(self.data_dir, self.table["path"].iat[row])
        grey = read_grey(path)
        expected = (self.table["height"].iat[row], self.table["width"].iat[row])
        if grey.shape != expected:
            raise DataError(f"the film has {grey.shape[0]} x {grey.shape[1]} pixels (height x width), not "
                            f"{expected[0]} x {expected[1]} as when the collection was opened", str(path),
                            "Open the collection again.")
        return grey

    def shape(self, film: str) -> tuple[int, int]:
        """Height and width of a film in pixels. Raises DataError for an unknown one."""
        rows = np.flatnonzero(self.table["film"] == film)
        if len(rows) != 1:
            raise DataError(f"no film {film!r}", str(self.data_dir), "Use a name from the column `film`.")
        return int(self.table["height"].iat[rows[0]]), int(self.table["width"].iat[rows[0]])

    def findings_of(self, film: str, malignant: bool | None = None, kind: str | None = None) -> np.ndarray:
        """int64 (n,): rows of `findings` of a film, by default all; `kind` is one, as "mass"."""
        chosen = self.findings["film"] == film
        if malignant is not None:
            chosen &= self.findings["malignant"] == malignant
        if kind is not None:
            chosen &= np.array([kind in kinds.split(", ") for kinds in self.findings["kind"]], dtype=bool)
        return np.flatnonzero(chosen)

    def mask(self, film: str, malignant: bool | None = None, kind: str | None = None) -> np.ndarray:
        """All these findings of a film together, bool (height, width). Raises DataError where one has no outline."""
        union = np.zeros(self.shape(film), dtype=bool)
        for row in self.findings_of(film, malignant, kind):
            union |= self.outline(self, int(row))
        return union

    def without_outline(self) -> list[str]:
        """The films with a finding whose place is not known: no pixel of them can be said to be free of findings."""
        return self.findings["film"][~self.findings["outlined"]].drop_duplicates().tolist()

    def only(self, rows: np.ndarray) -> "Films":
        """The films in these rows of `table`, with their findings."""
        table = self.table.iloc[rows].reset_index(drop=True)
        place = pd.Series(range(len(table)), index=table["film"])
        findings = self.findings[self.findings["film"].isin(table["film"])]
        findings = findings.sort_values("film", key=lambda names: names.map(place), kind="stable")
        return replace(self, table=table, findings=findings.reset_index(drop=True))


def refuse_no_outline(films: Films, row: int) -> None:
    """Raise DataError for a finding whose place the collection does not give."""
    finding = films.findings.iloc[row]
    if not finding["outlined"]:
        raise DataError(f"finding {finding['number']} ({finding['kind']}) has no outline", f"film {finding['film']}",
                        "Leave the film out: Films.without_outline() names all such films.")


def resized_mask(mask: np.ndarray, shape: tuple[int, int], where: str) -> np.ndarray:
    """bool (h, w) -> bool `shape` by the nearest pixel. Raises DataError where the aspect differs by over 1 %."""
    if mask.shape == tuple(shape):
        return mask
    refuse_aspect(mask.shape, shape, where)
    rows, columns = (np.arange(new) * old // new + old // (2 * new) for old, new in zip(mask.shape, shape, strict=True))
    return mask[np.minimum(rows, mask.shape[0] - 1)][:, np.minimum(columns, mask.shape[1] - 1)]


def refuse_aspect(outlines: tuple[int, int], film: tuple[int, int], where: str) -> None:
    """Raise DataError where two sizes, (height, width), have aspect ratios that differ by more than 1 % (ours)."""
    ratio = outlines[0] * film[1] / (outlines[1] * film[0])
    if not 1 / 1.01 <= ratio <= 1.01:
        raise DataError(f"the outlines are of {outlines[0]} x {outlines[1]} pixels (height x width), the film has "
                        f"{film[0]} x {film[1]}: another aspect", where,
                        "Use the film that the outlines were drawn on, neither cropped nor turned.")
