"""Small OCT collections for tests: volumes as folders of slices, and eyes with single scans."""

from pathlib import Path

import numpy as np
from PIL import Image

VOLUMES = ["V1,P1,normal,cirrus", "V2,P1,DME,cirrus", "V3,P2,DME,spectralis"]
COUNTS = {"V1": 4, "V2": 12, "V3": 1}     # slices; 12, so that 10 comes behind 9 by number and before 2 by name
SCANS = ["images/a.png,11,R,0,train,0", "images/b.png,11,L,1,train,1", "images/c.png,12,R,0,val,1",
         "images/d.png,11,R,0,train,0"]


def grey(value: int, shape: tuple[int, int] = (6, 10)) -> Image.Image:
    return Image.fromarray(np.full(shape, value, np.uint8))


def volumes(folder: Path) -> Path:
    for volume, count in COUNTS.items():
        (folder / volume).mkdir(parents=True)
        for number in range(1, count + 1):
            grey(10 * int(volume[1]) + number).save(folder / volume / f"slice_{number}.png")
    (folder / "labels.csv").write_text("\n".join(["volume,patient,class,device", *VOLUMES]) + "\n")
    return folder


def eyes(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    for value, name in enumerate("abcd"):
        grey(value).save(folder / f"images/{name}.png")
    header = "file,patient_group,eye,DME,suggested_split,matched_subset"
    (folder / "labels.csv").write_text("\n".join([header, *SCANS]) + "\n")
    return folder
