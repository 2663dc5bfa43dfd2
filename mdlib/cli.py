"""`mdlib …`: the library from the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from mdlib import chapters
from mdlib.chapters import CHAPTERS, PAGES
from mdlib.errors import MdlibError, SettingsError


class Group(click.Group):
    """Shows an MdlibError as its one line, without a traceback; everything else stays loud."""

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except MdlibError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mdlib")
def main() -> None:
    """Five papers on interpretable medical image diagnosis, made real. Research software, not a medical device."""


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS), required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, with a header.")
def weights(chapter: str | None, as_csv: bool) -> None:
    """A line a network: chapter, name, number of weights, the paper's number."""
    tables = [chapters.load(name).weights() for name in ([chapter] if chapter else CHAPTERS)]
    for i, table in enumerate(tables):
        if as_csv:
            click.echo(table.to_csv(index=False, header=i == 0), nl=False)
            continue
        for row in table.itertuples():
            click.echo(f"{row.chapter:12} {row.network:22} {row.weights:>12,} {row.paper:>12,}  {row.source}")


def folder_option(name: str, text: str, **options):
    return click.option(name, type=click.Path(file_okay=False, path_type=Path), help=text, **options)


def overrides_of(_context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]) -> dict:
    """`--set epochs=3 --set blocks=[2,4,4,2]`: values are YAML, as papermill reads them."""
    import yaml

    bad = [pair for pair in pairs if "=" not in pair]
    if bad:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=VALUE")
    return {name: yaml.safe_load(value) for name, value in (pair.split("=", 1) for pair in pairs)}


RUN_OPTIONS = (
    click.option("--profile", default="embedded", show_default=True,
                 help="embedded: minutes on two cores; laptop (of chest): real images, small networks; paper."),
    folder_option("--data-dir", "The collection, as it is published; never written. Default: the phantoms."),
    folder_option("--cache-dir", "Decoded images. Default: in the run folder."),
    folder_option("--run-dir", "Manifest, checkpoints, figures, notebooks. Default: data/runs/CHAPTER/PROFILE…"),
    click.option("--seed", default=0, show_default=True),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    click.option("--set", "overrides", multiple=True, callback=overrides_of, metavar="NAME=VALUE",
                 help="Another value for one setting; may be given several times."),
)


def run_options(command):
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


def parameters_of(profile, data_dir, cache_dir, run_dir, seed, device, overrides) -> dict:
    """The notebooks' parameters: those that differ from the defaults in their cell, paths made absolute."""
    asked = {"profile": profile, "seed": seed, "device": device, "overrides": overrides,
             **{name: str(path.expanduser().absolute()) if path else "" for name, path in
                (("data_dir", data_dir), ("cache_dir", cache_dir), ("run_dir", run_dir))}}
    defaults = {"profile": "embedded", "seed": 0, "device": "auto", "overrides": {},
                "data_dir": "", "cache_dir": "", "run_dir": ""}
    return {name: value for name, value in asked.items() if value != defaults[name]}


@main.command()
@click.argument("chapter", type=click.Choice(PAGES))
@run_options
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True,
              help="Train on this many GPUs (or processes on a CPU).")
@click.option("--if-changed", is_flag=True, help="Do only what the code, the notebooks or the settings made stale.")
@click.option("--publish", "--keep", "publish", metavar="NAME",
              help="Also write the figures and manifest to data/results/CHAPTER/runs/NAME.json.")
@click.option("--grid", is_flag=True, help="Train every exhibit over splits and seeds instead, and write the figures "
              "to data/results/CHAPTER/grid/NAME.json (--publish; else the name of the profile).")
@click.option("--fresh", is_flag=True, help="Delete the run folder first.")
def run(chapter: str, devices: int, if_changed: bool, fresh: bool, grid: bool, publish: str | None,
        **asked) -> None:
    """Execute the notebooks of a chapter by papermill into a run folder; an interrupted run resumes."""
    from mdlib import extras, runs
    from mdlib.batch import papermill_runs

    if not grid:    # what cannot end well says so before torch is imported and phantoms are drawn
        papermill_runs.notebooks(chapter)
        extras.require("papermill", "book")
    parameters = parameters_of(**asked)
    folder = chapters.run_folder(chapter, **parameters)
    stale = runs.trained_by_other_code(folder, chapter)
    if if_changed and not (fresh or grid or publish or stale) and (
            copies := papermill_runs.fresh_copies(chapter, parameters, folder)):
        click.echo(f"Nothing has changed: {copies[0].parent}")
        return
    pages = chapters.load(chapter)
    if chapter not in CHAPTERS and (grid or devices > 1):
        raise SettingsError(f"nothing is trained in {chapter}", "--grid, --devices",
                            f"They are for {', '.join(CHAPTERS)}.")
    if grid:
        asked["overrides"] = dict(pages.grid) | asked["overrides"]
        parameters = parameters_of(**asked)
        folder = chapters.run_folder(chapter, **parameters)
    pages.choose(asked["profile"], asked["overrides"])
    # A run folder that the user named, or trained for hours, is never deleted unasked.
    if fresh or (if_changed and stale and folder == chapters.run_folder(chapter)):
        runs.delete(folder, chapter)
    pages.open(**parameters)    # draws the phantoms; an error appears once, here, and not in each process or notebook
    if devices > 1:
        train_on(devices, chapter, parameters)
    if not grid:
        copies = papermill_runs.run_chapter(chapter, parameters, folder, if_changed)
        click.echo(f"Executed notebooks, figures and checkpoints: {copies[0].parents[1]}")
    if grid or publish:
        click.echo(f"Published: {pages.publish(publish or asked['profile'], grid, **parameters)}")


def train_on(devices: int, chapter: str, parameters: dict) -> None:
    """`mdlib train` of a chapter in as many processes, under torchrun. Raises MdlibError when they fail."""
    options = [part for name, value in parameters.items() if name != "overrides"
               for part in (f"--{name.replace('_', '-')}", str(value))]
    options += [part for name, value in parameters.get("overrides", {}).items()
                for part in ("--set", f"{name}={json.dumps(value)}")]
    ended = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone",
                            f"--nproc-per-node={devices}", "-m", "mdlib", "train", chapter, *options])
    if ended.returncode:
        raise MdlibError(f"training on {devices} devices ended with an error, told above", "mdlib run",
                         "Mend it and run the same command again: finished epochs are kept.")


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS))
@run_options
def train(chapter: str, **asked) -> None:
    """Train every network of a chapter into its run folder; under torchrun on several devices."""
    chapters.load(chapter).train_all(**parameters_of(**asked))


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path),
              help="RUN/networks/NETWORK-…: the folder of one training, with its card.")
@folder_option("--out", "New, empty, or with an earlier answer to the same files, which is replaced.", required=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--view", type=click.Choice(["PA", "AP"]), help="Of all files that do not tell it; needed, as --sex and "
              "--age, by networks of chest that end in _nonimage.")
@click.option("--sex", type=click.Choice(["M", "F"]))
@click.option("--age", type=click.FloatRange(0, 120), help="Years.")
@click.option("--tables-only", is_flag=True, help="No pages: for many images.")
def predict(chapter: str, images: tuple[Path, ...], checkpoint: Path, out: Path, device: str, tables_only: bool,
            **beside: Any) -> None:
    """Ask a trained network about IMAGES: PNG, JPEG or DICOM files, or folders of them. Not for diagnosis.

    \b
    OUT/predictions.csv  chest: a row an image and class: probability; threshold (highest sensitivity +
                         specificity on the validation images); above: 1 at or above it; both rates there,
                         and of how many images with the class (positives) and without; number of warnings
                         mims: a row a volume: probability of each class; its slices, and how many of them
                         the network has used; the most suspicious slice (counted from 1 in the volume), its
                         file and its log-odds of the last class; number of warnings
                         mdnet: a row an image: the class that the image model guesses, and the probability of
                         each; the class stated at the end of the report, and whether both agree (1, or 0);
                         a sentence for each part (report: the whole); mean log-probability of a word;
                         number of warnings
    OUT/warnings.csv     a row a warning: pictures unlike those of the training, inverted or clipped grey, …;
                         and a row an image or volume that could not be read
    OUT/IMAGE.html       one page each: warnings, numbers, and the maps of the network, in mdnet of each word; opens
                         anywhere

    In mims a folder of images is a volume, its slices ordered by the number at the end of their names; so is a file,
    with all its frames. A folder that holds volumes may hold single slices beside them. A network that has learned from
    single pictures takes each image alone. In mdnet every image is one of its own, and is not cut but squeezed into
    the square that the network sees.

    Nothing is taken from a DICOM header but how the grey is to be shown, view, orientation, sex, age, modality and
    body part; what is written into the picture itself stays there. An image that cannot be read is reported, the
    others go on; the exit status is then 1.
    """
    recipes = chapters.load(chapter).predict
    given = {name: value for name, value in beside.items() if value is not None}
    failures = recipes.predict(checkpoint, images, out, device, given, None if tables_only else page_of_case)
    click.echo(f"Predictions: {out}")
    click.echo(recipes.learned_from(checkpoint))
    for name, message in list(failures.items())[:20]:
        click.echo(f"Not read: {name}: {message}", err=True)
    if failures:
        raise MdlibError(f"{len(failures):,} of the images could not be read", str(out / "warnings.csv"),
                         "The others are done; mend or remove these.")


def page_of_case(case: dict, title: str, above: str) -> str:
    """A page with one picture in the explorer."""
    from mdlib.widgets import explorer, standalone

    widget = explorer.explorer([explorer.Case(**case)])
    try:
        return standalone.page(widget, title, above)
    finally:
        widget.close()    # the registry of ipywidgets would keep every picture


@main.group(name="chest", cls=Group)
def chest_group() -> None:
    """Chapter 1: lists and phantoms."""


@chest_group.command()
@folder_option("--table", "Folder with NIH's label table and its two lists (gzipped or not).", required=True)
@folder_option("--out", "Where train_val.txt, test.txt, train_0.txt, val_0.txt, … are written.", required=True)
@click.option("--by-patient", is_flag=True, help="Also train_patient.txt and val_patient.txt: no shared patient.")
def subset(table: Path, out: Path, by_patient: bool) -> None:
    """The paper's subset of ChestX-ray14 (Table 1) and its three splits, one image name a line."""
    from mdlib.data import splits
    from mdlib.papers.chest import table1

    summary = table1.write_subset(table, out, by_patient)
    for name, count in summary["images"].items():
        click.echo(f"{name:28}{count:>8,}")
    for name, leak in summary["leaks"].items():
        click.echo(f"{name}: {splits.Leak(**leak)}")
    click.echo(f"Lists and subset.json: {out}")


@chest_group.command()
@folder_option("--out", "Default: data/phantoms/chest, where the notebooks look for it.")
@click.option("--seed", default=0, show_default=True)
def phantoms(out: Path | None, seed: int) -> None:
    """Draw the phantom X-rays, in NIH's layout, with their truth beside them."""
    click.echo(f"Phantoms: {chapters.load('chest').write_phantoms(out, seed)}")


@main.group(name="mims", cls=Group)
def mims_group() -> None:
    """Chapter 2: phantoms."""


@mims_group.command(name="phantoms")
@folder_option("--out", "Default: data/phantoms/mims, where the notebooks look for it.")
@click.option("--seed", default=0, show_default=True)
def volume_phantoms(out: Path | None, seed: int) -> None:
    """Draw the phantom OCT volumes and tissue tiles, in published layouts, with their truth beside them."""
    click.echo(f"Phantoms: {chapters.load('mims').write_phantoms(out, seed)}")


@main.group(name="mdnet", cls=Group)
def mdnet_group() -> None:
    """Chapter 5: phantoms, Table 1 on CIFAR, and what is counted in the published reports."""


@mdnet_group.command(name="phantoms")
@folder_option("--out", "Default: data/phantoms/mdnet, where the notebooks look for it.")
@click.option("--seed", default=0, show_default=True)
def histology_phantoms(out: Path | None, seed: int) -> None:
    """Draw the phantom images of bladder tissue with five reports each, with their truth beside them."""
    click.echo(f"Phantoms: {chapters.load('mdnet').write_phantoms(out, seed)}")


@mdnet_group.command()
@run_options
@click.option("--keep", "name", metavar="NAME", required=True,
              help="What comes out goes to data/results/mdnet/NAME.json; the book shows cifar10.")
def recognise(name: str, data_dir: Path | None, cache_dir: Path | None, run_dir: Path | None, **asked) -> None:
    """Table 1 alone: train its networks on the CIFAR in DATA_DIR/cifar10 and DATA_DIR/cifar100.

    A killed run goes on where it stopped; each error is told after every epoch in the run folder.
    """
    if data_dir is None:
        raise SettingsError("it is needed", "--data-dir", "A folder with cifar10/ or cifar100/.")
    from mdlib.recipes.mdnet import recognised

    kept = recognised.recognise(data_dir=str(data_dir), run_dir=str(run_dir or ""), name=name, **asked)
    click.echo(f"Kept: {kept}")


@mdnet_group.command()
@folder_option("--folder", "Where bladder_reports.json lies.", required=True)
def reports(folder: Path) -> None:
    """Count in the published bladder reports; figures, and no text, go to data/results/mdnet/bladder_reports.json."""
    from mdlib.recipes.mdnet import published

    click.echo(f"Published: {published.keep(folder)}")
