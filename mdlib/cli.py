"""`mdlib …`: the library from the command line."""

from pathlib import Path
from typing import Any

import click

from mdlib import chapters
from mdlib.chapters import CHAPTERS, PAGES, PAPERS
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
    """Papers on interpretable medical image diagnosis, made real. Research software, not a medical device."""


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS), required=False)
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, with a header.")
def weights(chapter: str | None, as_csv: bool) -> None:
    """Show the number of weights of each network, beside the paper's number."""
    tables = [chapters.load(name).weights() for name in ([chapter] if chapter else CHAPTERS)]
    for i, table in enumerate(tables):
        if as_csv:
            click.echo(table.to_csv(index=False, header=i == 0), nl=False)
            continue
        for row in table.itertuples():
            paper = f"{row.paper:,}" if row.paper else "–"      # a paper prints none, or not of this network
            click.echo(f"{row.chapter:12} {row.network:22} {row.weights:>12,} {paper:>12}  {row.source}")


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
                 help="embedded: small networks, minutes on two cores; laptop (chest only): small networks for real "
                 "images; paper: the paper's settings."),
    folder_option("--data-dir", "The collection in its published layout, never written to. Default: the phantoms."),
    folder_option("--cache-dir", "For decoded images. Default: in the run folder."),
    folder_option("--run-dir", "For manifest, checkpoints, tables and notebooks. Default: data/runs/CHAPTER/PROFILE…"),
    click.option("--seed", default=0, show_default=True, help="Of the first training; the others follow."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
    click.option("--set", "overrides", multiple=True, callback=overrides_of, metavar="NAME=VALUE",
                 help="Change one setting, as in epochs=3; may be given several times."),
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
@click.option("--if-changed", is_flag=True,
              help="Do only what a change of code, notebooks, settings or published results made stale.")
@click.option("--publish", "--keep", "publish", metavar="NAME",
              help="Also write the figures and the manifest to data/results/CHAPTER/runs/NAME.json.")
@click.option("--grid", is_flag=True, help="Train every exhibit over several splits and seeds, run no notebooks, and "
              "write the figures to data/results/CHAPTER/grid/NAME.json (NAME of --publish, else of the profile).")
@click.option("--fresh", is_flag=True, help="Delete the run folder first.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Notebooks at a time, quietly. Meant for small networks on a CPU.")
def run(chapter: str, devices: int, if_changed: bool, fresh: bool, jobs: int, grid: bool, publish: str | None,
        **asked) -> None:
    """Execute the notebooks of a chapter by papermill into a run folder. An interrupted run resumes."""
    from mdlib import extras, runs
    from mdlib.batch import papermill_runs, torchrun

    if not grid:    # what cannot end well says so before torch is imported and phantoms are drawn
        papermill_runs.notebooks(chapter)
        extras.require("papermill", "book")
    parameters = parameters_of(**asked)
    folder = chapters.run_folder(chapter, **parameters)
    stale = runs.trained_by_other_code(folder, chapter)
    if if_changed and not (fresh or grid or publish or stale or papermill_runs.stale(chapter, parameters, folder)):
        click.echo(f"Nothing has changed: {folder / 'notebooks'}")
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
        torchrun.train(devices, chapter, parameters)
    if not grid:
        papermill_runs.run_chapter(chapter, parameters, folder, if_changed, jobs)
        click.echo(f"Executed notebooks, figures and checkpoints: {folder}")
    if grid or publish:
        click.echo(f"Published: {pages.publish(publish or asked['profile'], grid, **parameters)}")


@main.command()
@click.option("--jobs", type=click.IntRange(1), help="Notebooks at a time. Default: one per core.")
def book(jobs: int | None) -> None:
    """Execute the stale notebooks of all chapters and build the site: _build/html. An interrupted run resumes."""
    from mdlib.batch import book

    click.echo(f"The book: {book.build(jobs)}")


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS))
@run_options
def train(chapter: str, **asked) -> None:
    """Train every network of a chapter into its run folder, under torchrun on several devices."""
    chapters.load(chapter).train_all(**parameters_of(**asked))


@main.command()
@click.argument("chapter", type=click.Choice(PAPERS))
@run_options
@click.option("--networks-only", is_flag=True, help="Leave the figures of the book as they are.")
def publish(chapter: str, networks_only: bool, **asked) -> None:
    """Train the networks that mdlib ships, and all that the book quotes, and write both to data/results/CHAPTER.

    The trainings go to a run folder of their own; an interrupted run resumes. The figures of a collection of your own
    are named after its folder.
    """
    pages = chapters.load(chapter)
    name = asked["data_dir"].name if asked["data_dir"] else asked["profile"]
    asked["overrides"] = dict(pages.grid) | asked["overrides"]
    parameters = parameters_of(**asked)
    table = pages.ship(f"mdlib publish {chapter}", **parameters)
    click.echo(table.to_string())
    if not networks_only:
        click.echo(f"Published: {pages.publish(name, True, **parameters)}")
        if pages.paper.publish:
            click.echo(f"Published: {pages.publish(name, False, **parameters)}")


@main.command()
@click.argument("chapter", type=click.Choice(CHAPTERS))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--network", help="A network that mdlib ships: by default densenet121 of chest, gated of gated; another "
              "name lists them.")
@click.option("--checkpoint", type=click.Path(path_type=Path),
              help="Instead: the folder of one training, RUN/networks/NAME, with its card.")
@folder_option("--out", "A new or empty folder, or one with earlier predictions for the same files.", required=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--view", type=click.Choice(["PA", "AP"]), help="View of all files that do not state it. It is needed, "
              "like --sex and --age, by networks of chest whose name ends in _nonimage.")
@click.option("--sex", type=click.Choice(["M", "F"]), help="Sex, likewise.")
@click.option("--age", type=click.FloatRange(0, 120), help="Age in years, likewise.")
@click.option("--tables-only", is_flag=True, help="Write no pages, for instance for many images.")
def predict(chapter: str, images: tuple[Path, ...], network: str | None, checkpoint: Path | None, out: Path,
            device: str, tables_only: bool, **beside: Any) -> None:
    """Apply a trained network to IMAGES: PNG, JPEG or DICOM files, or folders of them. Not for diagnosis.

    Pictures for gated are TIFF, PNG, JPEG, BMP or WebP files of 8 bits in grey or red, green and blue.

    \b
    OUT/predictions.csv
      chest  one row per image and class: probability; threshold (highest sensitivity + specificity on the
             validation images); above (1 at or above it, else 0); sensitivity and specificity there, and the
             number of images with the class (positives) and without; number of warnings
      gated  one row per picture and class: probability; probability by the thumbnail alone; number of different
             instances that were found; number of warnings
      mims   one row per volume: probability of each class; number of slices, and how many of them were used;
             the most suspicious slice (counted from 1), its file and its log-odds of the last class; number of
             warnings
      mdnet  one row per image: class predicted by the image model, and probability of each; class stated at the
             end of the report, and whether both agree (1 or 0); a sentence for each part (or the whole report);
             mean log-probability per word; number of warnings
    OUT/warnings.csv  one row per warning (images unlike those of the training, inverted or clipped images, …),
                      and one per image or volume that could not be read
    OUT/IMAGE.html    one self-contained page per image: warnings, numbers and heat maps (mdnet: of each word); pages
                      take most of the time, --tables-only leaves them out

    In mims a folder of images is a volume, its slices ordered by the number at the end of their names; so is a file,
    with all its frames. A folder that holds volumes may also hold single slices. A network trained on single images
    takes each image alone. In mdnet every image is resized, not cropped, to the square that the network takes.

    Of a DICOM header only grey-value transform, view, orientation, sex, age, modality and body part are used; text
    that is burnt into an image stays there. An image that cannot be read is reported, the others are processed, and
    the exit status is then 1.
    """
    from mdlib.widgets.standalone import case_page

    if network and checkpoint:
        raise SettingsError("both name a network", "--network, --checkpoint", "Give one of them.")
    recipes, checkpoint = chapters.load(chapter).predict, checkpoint or chapters.shipped(chapter, network)
    given = {name: value for name, value in beside.items() if value is not None}
    failures = recipes.predict(checkpoint, images, out, device, given, None if tables_only else case_page)
    click.echo(f"Predictions: {out}")
    click.echo(recipes.description(checkpoint))
    for name, message in list(failures.items())[:20]:
        click.echo(f"Not read: {name}: {message}", err=True)
    if failures:
        raise MdlibError(f"{len(failures):,} of the images could not be read", str(out / "warnings.csv"),
                         "Repair or remove these; all others are done.")


def group_of(chapter: str, what: str) -> click.Group:
    """The commands of a chapter: `phantoms`, and those that are added below."""
    group = Group(name=chapter, help=f"{what} and phantoms.")

    @group.command()
    @folder_option("--out", f"Default: data/phantoms/{chapter}, where the notebooks look for it.")
    @click.option("--seed", default=0, show_default=True)
    def phantoms(out: Path | None, seed: int) -> None:
        """Draw the phantoms, in the layout of the published collection, with their truth beside them.

        They take 20 to 420 MB and up to two minutes of two cores. Where they are there already, nothing is done.
        """
        click.echo(f"Phantoms: {chapters.load(chapter).write_phantoms(out, seed)}")

    main.add_command(group)
    return group


chest_group = group_of("chest", "Chest X-rays: the paper's subset,")
group_of("gated", "Fungi, breast tissue")
mims_group = group_of("mims", "OCT volumes, tissue tiles")
mdnet_group = group_of("mdnet", "Images with reports: Table 1, counts,")


@chest_group.command()
@folder_option("--table", "The folder with NIH's label table and its two lists (gzipped or not).", required=True)
@folder_option("--out", "Where train_val.txt, test.txt, train_0.txt, val_0.txt, … are written.", required=True)
@click.option("--by-patient", is_flag=True,
              help="Also write train_patient.txt and val_patient.txt, which share no patient.")
def subset(table: Path, out: Path, by_patient: bool) -> None:
    """Write the paper's subset of ChestX-ray14 (Table 1) and its three splits, one image name per line."""
    from mdlib.data import splits
    from mdlib.papers.chest import table1

    summary = table1.write_subset(table, out, by_patient)
    for name, count in summary["images"].items():
        click.echo(f"{name:28}{count:>8,}")
    for name, leak in summary["leaks"].items():
        click.echo(f"{name}: {splits.Leak(**leak)}")
    click.echo(f"Lists and subset.json: {out}")


@mdnet_group.command()
@run_options
@click.option("--publish", "--keep", "name", metavar="NAME", required=True,
              help="Write the figures to data/results/mdnet/NAME.json; the book shows cifar10 and shapes.")
def recognise(name: str, data_dir: Path | None, cache_dir: Path | None, run_dir: Path | None, **asked) -> None:
    """Train the networks of Table 1, on CIFAR in DATA_DIR/cifar10 and cifar100, or on drawn shapes; resumes."""
    from mdlib.recipes.mdnet import recognised

    kept = recognised.recognise(data_dir=str(data_dir or ""), run_dir=str(run_dir or ""), name=name, **asked)
    click.echo(f"Published: {kept}")


@mdnet_group.command()
@folder_option("--folder", "The folder of bladder_reports.json.", required=True)
def reports(folder: Path) -> None:
    """Write statistics of the published bladder reports, but no text, to data/results/mdnet."""
    from mdlib.recipes.mdnet import published

    click.echo(f"Published: {published.keep(folder)}")
