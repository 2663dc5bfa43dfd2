"""Settings with which a network of the gated chapter is trained in a second, and the networks that tests share.

Not channels_last, as in tiny_mims.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mdlib.data.bccd import CLASSES
from mdlib.papers.gated import Run

TINY = {"exhibits": ["table1"], "thumbnail": [48, 64], "crop": 32, "width": 4, "instance_width": 4, "epochs": 1,
        "demo_epochs": 1, "n_bootstrap": 20, "grey": ["fungi"], "upside_down": ["breast"], "channels_last": False}
OURS, SE, WHOLE = Run("gated"), Run("se"), Run("resnet50")
THUMBNAIL, TRUTH, ANCHORS, TISSUE = (replace(OURS, **change) for change in (
    {"fusion": "global"}, {"sampler": "truth"}, {"sampler": "anchors"}, {"collection": "breast"}))
TRAINED = [OURS, SE, WHOLE, THUMBNAIL, TRUTH, ANCHORS, TISSUE]


def write_bccd(folder: Path, pictures: int = 3) -> Path:
    """A folder in the layout of BCCD: noise of 48 x 64 pixels, so many of each kind, the last of which test."""
    chance, rows, boxes = np.random.default_rng(0), [], []
    (folder / "images").mkdir(parents=True)
    for kind in CLASSES:
        for number in range(pictures):
            name, part = f"{kind}_{number}", "train" if number < pictures - 1 else "val"
            Image.fromarray(chance.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / f"images/{name}.png")
            rows.append(f"{name},images/{name}.png,64,48,{kind.upper()},{kind},{part}")
            boxes += [f"{name},WBC,{number},6,25,30,0", f"{name},RBC,30,8,64,48,0"]
    (folder / "images.csv").write_text("image_id,file,width,height,wbc_category_raw,wbc_class,bccd_split\n"
                                       + "\n".join(rows))
    (folder / "boxes.csv").write_text("image_id,label,xmin,ymin,xmax,ymax,invalid\n" + "\n".join(boxes))
    return folder


def write_own(folder: Path, classes=("b", "a"), patients: int = 4, size=(48, 64)) -> Path:
    """A folder of pictures for each class, two of each patient: noise."""
    chance = np.random.default_rng(0)
    for label in classes:
        (folder / label).mkdir(parents=True)
        for name in (f"{label}{patient}_{number}.png" for patient in range(patients) for number in (1, 2)):
            Image.fromarray(chance.integers(0, 256, (*size, 3), np.uint8)).save(folder / label / name)
    return folder
