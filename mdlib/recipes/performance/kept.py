"""Measurements on other machines, kept as small JSON under data/results/performance."""

from pathlib import Path

import pandas as pd

from mdlib.files import read_json
from mdlib.recipes.performance import exhibits
from mdlib.recipes.performance.chapter import Chapter
from mdlib.study import results as keeping


def keep(chapter: Chapter, name: str) -> Path:
    """Write the tables and the manifest of a run to data/results/performance/<name>.json."""
    tables = {task: rows.astype(object).where(rows.notna(), None).to_dict("index")
              for task, rows in exhibits.all_tables(chapter).items()}
    return keeping.write("performance", name, chapter.run, {"tables": tables})


def others() -> pd.DataFrame:
    """`times ours` of every kept run, one column per run named by its hardware; empty where none is kept."""
    found = {}
    for path in sorted(keeping.folder("performance").glob("*.json")):
        kept = read_json(path)
        found[f"{path.stem}: {kept['manifest']['steps']['start']['name']}"] = pd.Series(
            {(task, job): row["times ours"] for task, rows in kept["tables"].items() for job, row in rows.items()})
    return exhibits.shown(pd.DataFrame(found))
