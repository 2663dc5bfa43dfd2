"""Figures of runs of chapter 2, kept as small JSON under data/results/mims."""

from pathlib import Path
from typing import Any

import pandas as pd

from mdlib.recipes.mims import exhibits, located, results
from mdlib.recipes.mims.chapter import Chapter, default_phantoms
from mdlib.recipes.mims.settings import Mims
from mdlib.recipes.mims.trainings import train_all
from mdlib.study import results as keeping


def keep(chapter: Chapter, name: str) -> Path:
    """Write the AUROCs, differences and manifest of a run to data/results/mims/runs/NAME.json; no image, no name."""
    return keeping.write("mims", f"runs/{name}", chapter.run, figures(chapter))


def keep_grid(chapter: Chapter, name: str) -> Path:
    """Train all methods and poolings, and write the same to data/results/mims/grid/NAME.json."""
    return keeping.write("mims", f"grid/{name}", chapter.run, figures(chapter))


def figures(chapter: Chapter) -> dict[str, Any]:
    """What is kept of a run: AUROCs, differences and losses, what is measured of maps, and how large each part is."""
    train_all(chapter)      # side by side, before single tables ask for theirs
    aurocs = {name: results.aurocs(chapter, name, of(chapter)) for name, of in results.TABLES.items()}
    return {"parts": {collection: sizes(chapter, collection) for collection in chapter.collections},
            "aurocs": {name: keeping.records(table) for name, table in aurocs.items()},
            "by_size": {name: keeping.records(exhibits.by_size(chapter, name)) if "cirrus" in chapter.collections
                        else [] for name in ("cirrus", "one_size")},
            "beyond_one_size": keeping.records(exhibits.beyond_one_size(chapter)),
            "losses": keeping.records(exhibits.losses(chapter)),
            "maps": {name: keeping.records(of(chapter, "mims", chapter.collections[0]))
                     for name, of in located.TABLES.items()},
            "differences": {name: keeping.records(results.differences(chapter, name, pairs(chapter)))
                            for name, pairs in results.PAIRS.items()}}


def table(name: str, *keys: str) -> pd.DataFrame:
    """A table of a published result, as in `table("grid/embedded", "aurocs", "methods")`."""
    found = keeping.read("mims", name, needs=keys[0])
    for key in keys:
        found = found[key]
    return keeping.table(found)


def sizes(chapter: Chapter, collection: str) -> dict[str, dict[str, int]]:
    """Bags, patients and slices of each part of a collection, of real scans those of the first fold."""
    table = chapter.bags(collection).table
    parts = ("train", "tuning", "test") if collection == "crc_msi" else ("train", "test")
    found = {part: table.iloc[chapter.part(collection, part)] for part in parts}
    return {part: {"bags": len(of), "patients": int(of["patient"].nunique()), "slices": int(of["count"].sum())}
            for part, of in found.items()}


def told(name: str) -> str:
    """Where and from what a kept result came, in a sentence."""
    manifest = keeping.read("mims", name)["manifest"]
    start, asked = manifest["steps"]["start"], manifest["asked"]
    where = "the phantoms" if start["data_dir"] == default_phantoms().name else start["data_dir"]
    seeds = asked["settings"]["seeds"]
    return (f"From a run of profile {asked['profile']} on {where}: {seeds} seed{'' if seeds == 1 else 's'}, "
            f"{backbone_of(Mims(**asked['settings']))}, on {start['name']}; code {manifest['code']}.")


def backbone_of(settings: Mims) -> str:
    """A ResNet by its depth and width, and what it was pre-trained on."""
    learned = {"imagenet": "ImageNet", "shapes": f"{settings.shapes:,} drawn shapes", "none": "nothing"}
    return (f"ResNet-{3 * sum(settings.layers) + 2} of width {settings.width}, pre-trained on "
            f"{learned[settings.pretrained]}")
