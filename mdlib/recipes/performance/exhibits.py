"""The tables and the figure of the performance page."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure

from mdlib import reproducible
from mdlib.explain import cam_libraries
from mdlib.recipes.clock import summary
from mdlib.recipes.performance import cutting, measurements
from mdlib.recipes.performance.chapter import Chapter

# task: the largest difference that is rounding, of maps (in shares of the maximum), pixels, probabilities, crops (grey
# levels: bytes are rounded twice, and multiplied by weights of 16 bits), logits
ROUNDING = {"explain": 1e-4, "decode": 0.0, "read": 1e-7, "predict": 1e-5, "cut": 1.03, "local": 1e-5}


def settings(chapter: Chapter) -> pd.DataFrame:
    """The sizes of this run."""
    table = pd.DataFrame({"this run": dataclasses.asdict(chapter.settings)}).astype(str)
    return table.rename_axis("setting")


def hardware(chapter: Chapter) -> Markdown:
    """On what this run is timed, in a sentence, and with which versions."""
    of, manifest = reproducible.hardware(chapter.device), chapter.run.manifest["versions"]
    versions = [f"{name} {manifest[name]}" for name in ("python", "torch", "torchvision", "pillow")]
    versions += [cam_libraries.with_version(library) for library in cam_libraries.LIBRARIES]
    return Markdown(f"**{of['name']}** ({of['device']}); {of['cores']} cores, {of['threads']} threads of torch; "
                    f"{', '.join(versions)}.")


def table(found: measurements.Measurement) -> pd.DataFrame:
    """`clock.summary` of a measurement, ours first; and the differences of the jobs' results."""
    rows = summary(found["times"], found["images"])
    columns = {"largest difference": "differences", "mean difference": "mean_differences"}
    return rows.assign(**{column: pd.Series(found[name], dtype=float) for column, name in columns.items()
                          if name in found})


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """A table as it is printed: three digits are more than such times are worth."""
    return rows.map(lambda value: "" if pd.isna(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}")


def all_tables(chapter: Chapter) -> dict[str, pd.DataFrame]:
    """Every table of the page by its task; what is not measured yet is measured now."""
    layers = {f"explain at {layer}": table(measurements.explaining(chapter, layer))
              for layer in chapter.settings.layers}
    return layers | {"decode": table(measurements.decoding(chapter)), "read": table(measurements.reading(chapter)),
                     "train": table(measurements.training(chapter)), "predict": table(measurements.predicting(chapter)),
                     **{f"cut {name}": rows for name, rows in crop_tables(chapter).items()},
                     **{f"local {name}": rows for name, rows in local_tables(chapter).items()}}


def crop_tables(chapter: Chapter) -> dict[str, pd.DataFrame]:
    """The table of crops by the size of the pictures."""
    return {f"{of[1]} x {of[2]}": table(cutting.cutting(chapter, *of)) for of in chapter.settings.cut}


def local_tables(chapter: Chapter) -> dict[str, pd.DataFrame]:
    """The table of the local branch by the size of the network."""
    return {size: table(cutting.local_branch(chapter, size, count)) for size, count in chapter.settings.fused}


def explaining(chapter: Chapter) -> pd.DataFrame:
    """Grad-CAM of all classes at each layer."""
    tables = {layer: table(measurements.explaining(chapter, layer)) for layer in chapter.settings.layers}
    return shown(pd.concat(tables, names=["layer", ""]))


def map_costs(chapter: Chapter) -> pd.DataFrame:
    """What the maps of all classes cost in plain forward passes: one row per layer, one column per network."""
    found = pd.DataFrame(measurements.map_costs(chapter)).round(1)
    return found.rename_axis(index="maps of all classes at", columns="forward passes")


def decoding(chapter: Chapter) -> pd.DataFrame:
    """Files to pixels for the first time, and the batches of an epoch afterwards."""
    tables = {"first time": table(measurements.decoding(chapter)), "each epoch": table(measurements.reading(chapter))}
    return shown(pd.concat(tables, names=["", ""]))


def training(chapter: Chapter) -> pd.DataFrame:
    """One step of training."""
    return shown(table(measurements.training(chapter)))


def losses(chapter: Chapter) -> pd.DataFrame:
    """The loss of every step, in each loop."""
    found = pd.DataFrame(measurements.training(chapter)["losses"])
    return found.set_index(found.index + 1).rename_axis("step").T


def predicting(chapter: Chapter) -> pd.DataFrame:
    """Files to probabilities."""
    return shown(table(measurements.predicting(chapter)))


def crops(chapter: Chapter) -> pd.DataFrame:
    """Pictures to crops of their instances."""
    return shown(pd.concat(crop_tables(chapter), names=["pictures", ""]))


def local_branch(chapter: Chapter) -> pd.DataFrame:
    """A forward pass without and with the local branch."""
    return shown(pd.concat(local_tables(chapter), names=["network", ""]))


def figure(chapter: Chapter) -> Figure:
    """Time of each opponent divided by ours, median and range over the rounds, on a logarithmic axis."""
    rows = pd.concat({task: rows[1:] for task, rows in all_tables(chapter).items()}, names=["task", "job"])
    rows = rows.reset_index()
    rows = rows[~rows["job"].str.startswith("(")].reset_index(drop=True)
    colours = dict(zip(dict.fromkeys(rows["task"]), sns.color_palette("colorblind"), strict=False))
    drawn, axis = plt.subplots(figsize=(8.5, 0.36 * len(rows) + 1.2), layout="constrained")
    plt.close(drawn)
    for i, row in rows.iterrows():
        axis.hlines(i, row["from"], row["to"], color=colours[row["task"]], linewidth=2)
        axis.plot(row["times ours"], i, "o", color=colours[row["task"]])
        digits = 0 if row["times ours"] >= 10 else 1
        axis.annotate(f"{row['times ours']:.{digits}f}", (row["to"], i), (6, -3), textcoords="offset points",
                      fontsize=8)
    axis.axvline(1, color="0.4", linewidth=1)
    axis.set_yticks(range(len(rows)), [f"{row.task}: {row.job}" for row in rows.itertuples()])
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set(xscale="log", xlabel="time / time of mdlib, median and range (1: as fast; right of it mdlib is faster)")
    axis.xaxis.set_major_formatter("{x:g}")
    return drawn


def check_equal(chapter: Chapter) -> str:
    """Assert that all compute the same, up to rounding: a comparison of speed means nothing otherwise.

    Rounding grows from step to step of a training, so its loops are held to the first loss; on a CPU, where nothing
    adds up in another order, the plain loops are held to every loss of ours.
    """
    for task, rows in all_tables(chapter).items():
        found = rows["largest difference"].drop(cutting.OTHER_FILTERS, errors="ignore").dropna()
        assert len(found), task
        assert task == "train" or (found <= ROUNDING[task.split()[0]]).all(), (task, found)
    loss = losses(chapter).drop("(mdlib, bf16-mixed)", errors="ignore")
    assert np.ptp(loss[1]) < 1e-5, loss
    plain = loss.drop("mdlib") if chapter.device == "cpu" else loss[[1]]
    assert np.ptp(plain, axis=0).max() < 1e-5, loss
    return "Equal within rounding: all maps, pixels, losses and probabilities."
