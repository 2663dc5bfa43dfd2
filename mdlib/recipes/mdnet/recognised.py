"""Table 1 of Zhang et al. and how fast its networks train: CIFAR, or the drawn shapes that stand in for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from lightning_fabric import Fabric

from mdlib.data.phantoms import shapes
from mdlib.evaluate import paired
from mdlib.evaluate.resampling import wilson_interval
from mdlib.evaluate.tables import interval
from mdlib.models.backbones import count
from mdlib.recipes import trainings
from mdlib.recipes.mdnet import plan, recognition
from mdlib.recipes.mdnet.chapter import Chapter, start, start_recognition
from mdlib.recipes.mdnet.networks import recognition_network
from mdlib.recipes.mdnet.plan import Recognition
from mdlib.recipes.mdnet.settings import Settings
from mdlib.recipes.mdnet.trainings import train_all
from mdlib.study import results as keeping
from mdlib.training import speed

# Table 1: error in % with CIFAR-10 and CIFAR-100
PAPER = {"ecnet_110_4": (4.91, 22.53), "ecnet_56_12": (4.43, 19.94), "wrn_40_4": (4.53, 21.18),
         "resnet_164": (5.46, 24.33)}
FULL = {"ecnet_110_4": "EcNet-110-4", "ecnet_56_12": "EcNet-56-12", "wrn_40_4": "WRN-40-4",
        "resnet_164": "ResNet⁺-164"}
SMALL = {"ecnet_110_4": "EcNet-11-3", "ecnet_56_12": "EcNet-11-4", "wrn_40_4": "WRN-10-1", "resnet_164": "ResNet⁺-11"}
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "shapes": "drawn shapes"}
CLASSES = {"cifar10": 10, "cifar100": 100, "shapes": len(shapes.CLASSES)}
CIFAR = "cifar10"       # data/results/mdnet/cifar10.json, where it was kept
STEPS = 4               # that are timed
DIFFERENCES = ["data", "name", "mean", "low", "high"]
IMAGES = 50_000         # of an epoch of CIFAR
NOTHING = ("This run trains no network of Table 1: neither CIFAR is in `data_dir`, nor are shapes drawn (settings "
           "recognition_data and shapes).")
NO_CIFAR = ("No result on CIFAR is published with this book. Put CIFAR into the subfolder `cifar10` or `cifar100` of a "
            "folder, in a layout that `mdlib.data.cifar` reads: `mdlib mdnet recognise --profile paper --data-dir DIR "
            "--publish cifar10` trains the networks of Table 1 for the 200 epochs of section 5.1, and writes the "
            "figures for this page.")


def planned(chapter: Chapter) -> list[Recognition]:
    """The networks of Table 1 that this run trains, of the first seed."""
    return plan.recognition(chapter.settings, chapter.recognised, [chapter.seed])


def name_of(settings: Settings, network: str) -> str:
    """What a network of Table 1 is in this run: itself, or the small one of its kind."""
    return (SMALL if settings.recognition_small else FULL)[network]


def errors(chapter: Chapter) -> pd.DataFrame:
    """One row per network and epoch: data, network, name, weights, tested (images), epoch, error in [0, 1]."""
    rows = []
    for one, history in train_all(chapter, planned(chapter)).items():
        with torch.device("meta"):
            model = recognition_network(chapter.settings, one.network, CLASSES[one.data], *_grey())
        of = {"data": one.data, "network": one.network, "name": name_of(chapter.settings, one.network),
              "weights": count(model), "tested": tested(chapter, one.data)}
        rows += [{**of, "epoch": entry["epoch"], "error": entry["error"]} for entry in history]
    return pd.DataFrame(rows)


def tested(chapter: Chapter, data: str) -> int:
    """How many images test the networks of a collection."""
    return chapter.run.remember(f"tested-{data}", lambda: len(recognition.images(chapter, data, "test")[1]))


def ends(errors: pd.DataFrame) -> pd.DataFrame:
    """One row per network of `errors`: last, low and high (95 %, of the images that test), best, and its epoch."""
    rows = []
    for _, of in errors.groupby(["data", "network"], sort=False):
        last, best = of.iloc[-1], of.loc[of["error"].idxmin()]
        low, high = wilson_interval(round(last["error"] * last["tested"]), last["tested"])
        rows.append({**last.drop("error"), "last": last["error"], "low": float(low), "high": float(high),
                     "best": best["error"], "best epoch": best["epoch"]})
    return pd.DataFrame(rows)


def table_1(errors: pd.DataFrame) -> pd.DataFrame | str:
    """Table 1: ours, the last epoch with its interval and the best one, beside the paper's errors."""
    if errors.empty:
        return NOTHING
    rows = {}
    for row in ends(errors).to_dict("records"):
        rows[DATA[row["data"]], row["name"]] = {
            "weights": f"{row['weights']:,}", "last epoch, %": f"{100 * row['last']:.1f}",
            "95 %": interval(100 * row["low"], 100 * row["high"], digits=1),
            "best epoch, %": f"{100 * row['best']:.1f} (epoch {row['best epoch']})",
            "stands for": FULL[row["network"]], "paper, C-10": f"{PAPER[row['network']][0]:.2f}",
            "paper, C-100": f"{PAPER[row['network']][1]:.2f}"}
    return pd.DataFrame(rows).T.rename_axis(["images", "network"])


def differences(chapter: Chapter) -> pd.DataFrame:
    """How many images more each network gets wrong than the best of its collection: data, name, mean, low, high.

    On the same test images after the last epoch, as shares; the interval draws images (ours: they have no patients).
    """
    rows = []
    for data, table in ends(errors(chapter)).groupby("data", sort=False) if planned(chapter) else ():
        of = {row.name: recognition.wrong(chapter, Recognition(row.network, data, chapter.seed))
              for row in table.rename_axis("row").itertuples()}
        first = table.loc[table["last"].idxmin(), "name"]
        for name, wrong in of.items():
            if name != first:
                apart = paired.difference(wrong[None], of[first][None], np.arange(len(wrong)),
                                          n_bootstrap=chapter.settings.draws, seed=chapter.seed)
                rows.append({"data": data, "name": name, "mean": apart.mean, "low": apart.low, "high": apart.high})
    return pd.DataFrame(rows, columns=DIFFERENCES)


def said(errors: pd.DataFrame, differences: pd.DataFrame) -> Markdown | str:
    """Which network errs least after the last epoch, how much more the others err, and what the best epoch hides."""
    if errors.empty:
        return NOTHING
    sentences = []
    for data, table in ends(errors).groupby("data", sort=False):
        first = table.loc[table["last"].idxmin()]
        apart = differences[differences["data"] == data]
        gain = 100 * (table["last"] - table["best"]).mean()
        others = "; ".join(f"{name} {100 * mean:.1f} points more ({interval(100 * low, 100 * high, 1)})"
                           for name, mean, low, high in apart[["name", "mean", "low", "high"]].itertuples(index=False))
        others = f"On the same images: {others}. One training of each: another seed may turn this round." if others \
            else "Nothing else was trained."
        sentences.append(f"On {DATA[data]}, {first['name']} errs least after the last epoch: {100 * first['last']:.1f} "
                         f"% of {first['tested']:,} images. {others} Taking the best epoch instead, which the test "
                         f"images themselves would have to choose, lowers the errors by {gain:.1f} points on average.")
    return Markdown(" ".join(sentences))


def throughput(chapter: Chapter) -> pd.DataFrame | str:
    """Whole training steps of each network of Table 1 in this run's size and precision, on random images.

    Mflop of a forward pass of one image, images/s, seconds for 50,000 images, and what share of the device's own rate
    in a large matrix product that is (`mdlib.training.speed`).
    """
    networks = dict.fromkeys(one.network for one in planned(chapter))
    if not networks:
        return NOTHING

    def compute() -> list[dict]:
        fabric = trainings.fabric_of(chapter)
        dtype = torch.bfloat16 if chapter.settings.precision == "bf16-mixed" else torch.float32
        rate = speed.matmul_rate(fabric.device, dtype, 8192 if fabric.device.type == "cuda" else 1024)
        return [{"network": name_of(chapter.settings, name), "rate": rate, **_timed(chapter, name, fabric)}
                for name in networks]
    table = pd.DataFrame(chapter.run.remember("throughput", compute, device=chapter.device)).set_index("network")
    share = [speed.share(row.flops, row.speed, row.rate) for row in table.itertuples()]
    return pd.DataFrame({"Mflop": table["flops"] / 1e6, "images/s": table["speed"], "s for 50,000 images":
                         IMAGES / table["speed"], "% of the device's rate": 100 * np.array(share),
                         "that rate, TFLOP/s": table["rate"]})


def _timed(chapter: Chapter, network: str, fabric: Fabric) -> dict[str, float]:
    """flops of one image, and images a second, trained as `recognition.train` does."""
    settings, data = chapter.settings, planned(chapter)[0].data
    torch.manual_seed(chapter.seed)
    model = recognition_network(settings, network, CLASSES[data], *_grey())
    flops = speed.flops_of(model, torch.rand(1, 3, recognition.SIDE, recognition.SIDE))
    batch = {"image": torch.rand(settings.recognition_batch, 3, recognition.SIDE, recognition.SIDE),
             "target": torch.randint(CLASSES[data], (settings.recognition_batch,))}
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
        batch["image"] = batch["image"].to(memory_format=torch.channels_last)
    if settings.compiled and fabric.device.type == "cuda":
        model.compile()
    stepper = recognition.optimizer(model, settings)
    return {"flops": flops, "speed": speed.throughput(fabric, model, batch, recognition.loss, stepper, STEPS)}


def _grey() -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def recognise(profile: str, data_dir: str = "", name: str = CIFAR, **asked: Any) -> Path:
    """Train Table 1 alone, and `keep` what came out. A killed run goes on where it stopped.

    On the CIFAR of a folder, as `chapter.start_recognition` finds it; without `data_dir` on drawn shapes.
    """
    asked["overrides"] = {"recognition": list(SMALL)} | (asked.get("overrides") or {})
    return keep((start_recognition if data_dir else start)(profile, data_dir, **asked), name)


def keep(chapter: Chapter, name: str = CIFAR) -> Path:
    """Write `errors`, `differences` and `throughput` of a run and its manifest to data/results/mdnet/NAME.json."""
    return keeping.write("mdnet", name, chapter.run, {"errors": keeping.records(errors(chapter)),
                                                      "differences": keeping.records(differences(chapter)),
                                                      "speed": keeping.records(throughput(chapter).reset_index())})


def kept(name: str = CIFAR) -> pd.DataFrame:
    """`errors` of a kept result; empty where none is kept."""
    if not (keeping.folder("mdnet") / f"{name}.json").exists():
        return pd.DataFrame()
    return pd.DataFrame(keeping.read("mdnet", name, needs="errors")["errors"])


def kept_said(name: str = CIFAR) -> Markdown:
    """What the kept result is of: images, networks, epochs, hardware, and the sentences of `said`."""
    found = kept(name)
    if found.empty:
        return Markdown(NO_CIFAR)
    result = keeping.read("mdnet", name, needs="differences")
    asked, start = result["manifest"]["asked"], result["manifest"]["steps"]["start"]
    settings = asked["settings"]
    files = asked["data"] if isinstance(asked["data"], dict) else {}
    of = ", ".join(f"{DATA[data]} ({', '.join(files[data])})" if data in files else DATA[data]
                   for data in found["data"].unique())
    sizes = "small networks of the same kinds" if settings["recognition_small"] else "the networks of Table 1"
    return Markdown(
        f"{of}: {sizes}, {settings['recognition_epochs']} epochs of the policy of section 5.1 (the paper has 200), one "
        f"training each, on {start['name']}. "
        + said(found, pd.DataFrame(result["differences"], columns=DIFFERENCES)).data)


def kept_speed(name: str = CIFAR) -> pd.DataFrame:
    """`throughput` of a kept result."""
    return pd.DataFrame(keeping.read("mdnet", name, needs="speed")["speed"]).set_index("network")


def kept_table(name: str = CIFAR) -> pd.DataFrame | Markdown:
    """Table 1 of a kept result on CIFAR; a sentence that says how to make one where there is none."""
    found = kept(name)
    return Markdown(NO_CIFAR) if found.empty else table_1(found)
