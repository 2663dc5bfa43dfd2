"""The collections of a run, and which of their pictures train and test."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mdlib import runs
from mdlib.data import bach, bccd, folders, pictures, splits
from mdlib.data.bags import Bags
from mdlib.data.phantoms import breast as phantom_breast
from mdlib.data.phantoms import collection as phantom_collection
from mdlib.data.phantoms import fungi as phantom_fungi
from mdlib.errors import DataError, SettingsError
from mdlib.files import fingerprint
from mdlib.models import instances
from mdlib.papers.gated.networks import Run
from mdlib.papers.gated.settings import Gated

PARTS = ("train", "test")
EDGES = ("top", "left", "bottom", "right")
MARGIN = 0.1        # of `models.instances.component_boxes`


def write_phantoms(folder: Path | None = None, seed: int = 0) -> Path:
    """The folder of phantom fungi and breast tissue, by default that of the book; drawn now where not there yet."""
    folder = folder or runs.home() / "data" / "phantoms" / "gated"
    phantom_fungi.write(folder / "fungi", seed=seed)
    phantom_breast.write(folder / "breast", seed=seed)
    return folder


def open_data(settings: Gated, folder: Path | None, cache_dir: Path, seed: int) -> "GatedData":
    """Open the collections of a folder, or the phantoms; warns of classes without a picture in a part.

    Raises DataError for a collection that cannot be used.
    """
    folder = folder or write_phantoms()
    found = {name: read(name, place, settings.crop) for name, place in _places(folder).items()}
    data = GatedData(folder, found, settings, seed, cache_dir)
    for run in (Run("gated", collection=name) for name in found):
        for part in PARTS:
            shown = data.labels(part, run)[list(data.classes(run))].any()
            if not shown.all():
                warnings.warn(f"{data.of(run).data_dir}: no picture of class {', '.join(shown.index[~shown])} is in "
                              f"the part {part!r}; add pictures of more patients", stacklevel=2)
    return data


def _places(folder: Path) -> dict[str, Path]:
    """Where each collection is: the folder itself, or folders in it if all are called fungi, breast or bccd."""
    if not folder.is_dir():
        raise DataError("there is no such folder", str(folder), "Name the folder of a collection.")
    inside = _class_names(folder)
    if inside and set(inside) <= set(READERS):
        return {name: folder / name for name in READERS if name in inside}
    return {_layout(folder): folder}


def _layout(folder: Path) -> str:
    if (folder / bach.HOME).is_dir() or (folder / "Photos" / bach.TRUTH).is_file():
        return "breast"
    return "bccd" if (folder / "images.csv").is_file() else "fungi"


def _class_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/") if path.name[0] != "." and path.name != "truth")


def _species(folder: Path, smallest: int) -> Bags:
    """Folders of pictures, one per class: the paper's species where they are these, else whatever their names are."""
    names = _class_names(folder)
    if len(names) < 2:
        raise DataError("this is no collection: there are no two folders of pictures", str(folder), "Name a folder "
                        "with a folder of pictures for each class, one in BACH's layout, or one with images.csv.")
    bags = folders.class_folders(folder, phantom_fungi.CLASSES if set(names) == set(phantom_fungi.CLASSES) else names)
    for path in bags.paths():
        pictures.check_picture(path, smallest)
    return bags


READERS: Mapping[str, Callable[[Path, int], Bags]] = {"fungi": _species, "breast": bach.bach, "bccd": bccd.bccd}


def read(name: str, folder: Path, crop: int) -> Bags:
    """A collection by name. Raises DataError, also for a picture smaller than a crop, a patient in two parts, and a
    class of one patient.
    """
    bags = READERS[name](folder, crop)
    if "part" in bags.table:
        splits.refuse_shared_patients(bags.table, bags.table.groupby("part").indices, str(folder))
        return bags
    patients = bags.table.groupby("label")["patient"].nunique()
    if patients.min() < 2:
        raise DataError(f"all pictures of class {patients.idxmin()} are of one patient, so they would be in one part",
                        str(folder), "Add pictures of other patients, or leave the class out.")
    return bags


def _known_boxes(bags: Bags, name: str, phantom: bool) -> pd.DataFrame:
    """bag, kind, number (in the map of labels of phantoms), decides, and the edges in pixels."""
    rows = []
    if name == "bccd":
        rows = [(box.bag, box.label, 0, box.label == "WBC", box.ymin, box.xmin, box.ymax, box.xmax)
                for box in bags.boxes.itertuples()]
    elif phantom:
        truth = (phantom_fungi if name == "fungi" else phantom_breast).Truth(bags.data_dir)
        rows = [(bag, box.kind, box.number, box.kind == "head" if name == "fungi" else box.shows, box.top, box.left,
                 box.bottom, box.right) for bag in bags.table["bag"] for box in truth.boxes(bag)]
    found = pd.DataFrame(rows, columns=["bag", "kind", "number", "decides", *EDGES])
    return found.astype({"decides": bool, **dict.fromkeys(EDGES, float)})        # also where there are none


@dataclass(frozen=True, eq=False)
class GatedData:
    """Collections by name, each divided into `train` and `test`; rows are counted in the table of a collection."""

    folder: Path
    collections: Mapping[str, Bags]
    settings: Gated
    seed: int
    cache_dir: Path

    def __getstate__(self) -> dict[str, Any]:
        """Without what was computed: a worker maps the pixels itself."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def names(self) -> tuple[str, ...]:
        """The collections that are there."""
        return tuple(self.collections)

    def of(self, run: Run) -> Bags:
        """The collection of a training. Raises SettingsError where it is not there."""
        if run.collection not in self.collections:
            raise SettingsError(f"there is no collection {run.collection!r}", str(self.folder),
                                f"There are: {', '.join(self.names)}.")
        return self.collections[run.collection]

    def is_phantom(self, run: Run) -> bool:
        """Whether the pictures of a training are phantoms, whose truth is known."""
        return phantom_collection.is_phantom(self.of(run).data_dir)

    def fingerprint(self) -> dict[str, str]:
        """Changes with any row of the tables."""
        return {name: fingerprint(bags.table.to_csv(index=False)) for name, bags in self.collections.items()}

    def description(self, run: Run) -> dict[str, Any]:
        """Of the collection of a training: name, whether it is phantoms, and its fingerprint."""
        return {"name": self.of(run).data_dir.name, "phantoms": self.is_phantom(run),
                "fingerprint": self.fingerprint()[run.collection], "colour": self.in_colour(run)}

    def prepare(self, runs: Sequence[Run]) -> None:
        """Decode the pictures, once for all workers."""
        for run in runs:
            _ = self.thumbnails(run), self._pictures(run)

    def facts(self, run: Run) -> dict[str, Any]:
        """What a network needs to know of the collection to be built: the names of its classes."""
        return {"classes": list(self.of(run).classes)}

    def classes(self, run: Run) -> tuple[str, ...]:
        """The names of the outputs of a network."""
        return self.of(run).classes

    def in_colour(self, run: Run) -> bool:
        """Whether a training sees colours."""
        return run.colour or run.collection not in self.settings.grey

    def rows(self, part: str, run: Run) -> np.ndarray:
        """The rows of `train` or `test`. Raises SettingsError for another part."""
        if part not in PARTS:
            raise SettingsError("no such part", f"part {part!r}", f"Known: {', '.join(PARTS)}.")
        bags, test = self.of(run), self.settings.test
        if "part" in bags.table:                        # the collection says it
            return np.flatnonzero(bags.table["part"] == part)
        if run.split == "picture":                      # the paper's: at random within each class
            pair = splits.bag_split(bags.table.assign(patient=bags.table["bag"]), test, self.seed)
        else:
            pair = (bach.split if run.collection == "breast" else splits.bag_split)(bags.table, test, self.seed)
        return pair[PARTS.index(part)]

    def thumbnails(self, run: Run) -> np.ndarray:
        """The thumbnails of all pictures of a collection, uint8 (N, h, w[, 3])."""
        bags = dataclasses.replace(self.of(run), colour=self.in_colour(run))
        return bags.pixels(tuple(self.settings.thumbnail), self._cache(run, "thumbnails"))

    def _pictures(self, run: Run) -> pictures.Pictures:
        return pictures.open_pictures(self.of(run).paths(), self._cache(run, "pictures"), self.settings.crop,
                                      colour=self.in_colour(run))

    def _cache(self, run: Run, kind: str) -> Path:
        return self.cache_dir / f"{kind}-{run.collection}{'-colour' if self.in_colour(run) else '-grey'}"

    def samples(self, part: str, run: Run, augment: bool = False) -> pictures.PictureSamples:
        """The samples of a part: thumbnails and pictures; with known boxes for the sampler "truth"."""
        how = pictures.Augmentation(run.collection in self.settings.upside_down, self.settings.tone)
        boxes = self.true_boxes(run) if run.sampler == "truth" else None
        return pictures.PictureSamples(self.thumbnails(run), self._pictures(run), self.of(run).targets,
                                       self.rows(part, run), how if augment else None, boxes)

    def sizes(self, run: Run) -> np.ndarray:
        """Height and width of each picture of a collection, int64 (N, 2)."""
        return self._pictures(run).sizes

    def boxes(self, run: Run) -> pd.DataFrame:
        """The known boxes of a collection, those that decide the class first in each picture; empty where none are.

        Columns: row (of the picture), kind, number (in the label map of a phantom), decides (whether it shows the
        class: conidial heads, ducts of the picture's class, white cells), top, left, bottom, right in fractions.
        """
        bags, sizes = self.of(run), self.sizes(run)
        found = _known_boxes(bags, run.collection, self.is_phantom(run))
        found = found.assign(row=pd.Index(bags.table["bag"]).get_indexer(found["bag"])).query("row >= 0")
        height, width = sizes[found["row"]].T
        found = found.assign(top=found["top"] / height, left=found["left"] / width, bottom=found["bottom"] / height,
                             right=found["right"] / width)
        ordered = found.sort_values(["row", "decides"], ascending=[True, False], kind="stable").reset_index(drop=True)
        return ordered[["row", "kind", "number", "decides", *EDGES]]

    def true_boxes(self, run: Run) -> np.ndarray:
        """The n largest boxes that decide the class of each picture, as a sampler would cut them, (N, n, 4) (ours).

        A picture without such a box has its largest other ones, one without any the whole picture.
        """
        known, sizes = self.boxes(run), self.sizes(run)
        known = known[known["decides"] | ~known["row"].isin(known["row"][known["decides"]])]
        edges = known[list(EDGES)].to_numpy().reshape(-1, 2, 2)
        area = (edges[:, 1] - edges[:, 0]).prod(axis=1)
        cut = instances.squares(edges, sizes[known["row"]], MARGIN)
        return instances.best(cut, known["row"].to_numpy(), area, len(sizes), run.n).boxes.numpy()

    def labels(self, part: str, run: Run) -> pd.DataFrame:
        """One row per picture of a part: index its name, its patient, and 0 or 1 for each class."""
        bags, rows = self.of(run), self.rows(part, run)
        table = pd.DataFrame(np.eye(len(bags.classes), dtype=np.float32)[bags.targets[rows]],
                             columns=list(bags.classes),
                             index=pd.Index(bags.table["bag"].iloc[rows].to_numpy(), name="picture"))
        table.insert(0, "patient", bags.table["patient"].iloc[rows].to_numpy())
        return table
