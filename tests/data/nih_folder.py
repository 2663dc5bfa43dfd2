"""A folder in NIH's layout, small enough to read: what the tests of the reader start from."""

from pathlib import Path

from PIL import Image

HEADER = ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
          "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]")
ROWS = ["00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png,No Finding,1,1,58,M,AP,2682,2749,0.143,0.143",
        "00000002_000.png,Hernia,0,2,7,F,PA,2500,2048,0.168,0.168"]
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000002_000.png,Infiltrate,512,256,128,64\n"


def write(folder: Path, rows=ROWS, header=HEADER, train_val="00000001_000.png\n00000001_001.png\n",
          test="00000002_000.png\n", boxes=BOXES, images="images") -> Path:
    (folder / images).mkdir(parents=True)
    for row in rows:
        Image.new("L", (8, 8)).save(folder / images / row.split(",")[0])
    (folder / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "train_val_list.txt").write_text(train_val)
    (folder / "test_list.txt").write_text(test)
    (folder / "BBox_List_2017.csv").write_text(boxes)
    return folder


def edit(folder: Path, old: str, new: str, name: str = "Data_Entry_2017.csv") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
