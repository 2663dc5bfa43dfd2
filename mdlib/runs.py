"""Run folders: one per set of settings, with a manifest; and which code makes which part of a run stale.

    <folder>/manifest.json          settings, seed, data, code, versions, hardware, times
    <folder>/networks/<name>/       checkpoint and predictions of one training
    <folder>/tables/<name>.parquet  cached tables, each with the key it was computed for
    <folder>/notebooks/             executed notebooks
"""

import dataclasses
import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mdlib
from mdlib import source_code
from mdlib.errors import SettingsError
from mdlib.files import fingerprint, lock, read_json, write_json

PACKAGE = Path(mdlib.__file__).parent


def home() -> Path:
    """The folder that holds `notebooks/` and `data/`: the checkout mdlib is imported from, else the current folder."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


# Code that decides no number: it runs notebooks, or shows what was computed.
OUTER = ("cli.py", "chapters.py", "__main__.py", "progress.py", "batch")
SHOWN = ("widgets", *(f"study/{name}.py" for name in ("plots", "map_plots", "cases", "pages", "inference")))
# The modules of the ground and of a paper that decide its trained weights, beside those of the layers.
TRAINING_GROUND = ("files.py", "parallel.py", "reproducible.py")
TRAINING_LAYERS, TRAINING_MODULES = ("data", "models", "training"), ("settings", "data", "networks", "training")


def training_code(paper: str) -> str:
    """Fingerprint of the code that decides a paper's trained networks: what its training imports, without its comments.

    Its settings, data, networks and training, the modules of data (without its checks of other images), models and
    training that they import, directly or not, and seeds, threads and files. Raises SettingsError for a paper that does
    not exist.
    """
    places = [PACKAGE / "papers" / paper, PACKAGE / "recipes" / paper]
    if paper and not any(place.is_dir() for place in places):
        raise SettingsError("no such paper", f"paper {paper!r}")
    own = [*(places[0] / f"{module}.py" for module in TRAINING_MODULES), *(places[1].rglob("*.py") if paper else ())]
    ground = [PACKAGE / name for name in TRAINING_GROUND]
    layers = [path for layer in TRAINING_LAYERS for path in (PACKAGE / layer).rglob("*.py")]
    files = [file for file in source_code.imported([*own, *ground], {*own, *ground, *layers}, PACKAGE)
             if not file.is_relative_to(PACKAGE / "data" / "checks")]
    return fingerprint({file.relative_to(PACKAGE).as_posix(): source_code.statements(file.read_text(encoding="utf-8"))
                        for file in sorted(files)})


def table_code(paper: str) -> str:
    """Fingerprint of the code that decides a paper's cached tables: mdlib without what only shows them."""
    return _fingerprint_of(PACKAGE.rglob("*"), leave_out=(*OUTER, *SHOWN, *_other_papers(paper)))


def notebook_code(paper: str) -> str:
    """Fingerprint of the code that decides the outputs of a paper's notebooks: mdlib without the other papers.

    The JavaScript, styles and template of the widgets are among it.
    """
    return _fingerprint_of(PACKAGE.rglob("*"), leave_out=(*OUTER, *_other_papers(paper)))


def _other_papers(paper: str) -> list[str]:
    return [f"{place}/{folder.name}" for place in ("papers", "recipes") for folder in (PACKAGE / place).glob("*/")
            if folder.name != paper]


def _fingerprint_of(files: Iterable[Path], leave_out: Sequence[str]) -> str:
    """Fingerprint of code files of the package; `leave_out`: files and folders in it."""
    names = sorted({file.relative_to(PACKAGE).as_posix() for file in files
                    if file.suffix in (".py", ".js", ".css", ".html") and file.exists()})
    kept = [name for name in names if not any(f"{name}/".startswith(f"{other}/") for other in leave_out)]
    return fingerprint(kept, *(PACKAGE / name for name in kept))


def absolute(path: str | Path) -> Path:
    """The one name of a path: `~` and `..` resolved."""
    return Path(path).expanduser().resolve()


def trained_by_other_code(folder: Path, paper: str) -> bool:
    """Whether a run folder was begun by an mdlib whose training code differs from today's."""
    path = folder / "manifest.json"
    return path.exists() and read_json(path).get("training_code") != training_code(paper)


def delete(folder: Path, chapter: str) -> None:
    """Delete the run folder of a chapter; nothing where there is none. Raises SettingsError for any other folder."""
    if not folder.exists():
        return
    manifest = folder / "manifest.json"
    if not manifest.exists() or read_json(manifest).get("asked", {}).get("chapter") != chapter:
        raise SettingsError(f"this is not a run folder of chapter {chapter}, so it is not deleted", str(folder),
                            "Name another run_dir.")
    shutil.rmtree(folder)


def check_overrides(settings: Any, overrides: dict[str, Any]) -> Any:
    """`settings` (a frozen dataclass) with some fields replaced.

    Raises SettingsError naming the field when it does not exist or its value is of another kind.
    """
    if not isinstance(overrides, dict):
        raise SettingsError(f"{overrides!r} is not a dict of settings", "parameter overrides",
                            "In a notebook: {'epochs': 3}; with papermill: -y 'overrides: {epochs: 3}'.")
    known = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    clean = {}
    for name, value in current_names(settings, overrides).items():
        if name not in known:
            raise SettingsError("no such setting", f"overrides[{name!r}]", f"Known: {', '.join(known)}.")
        default = known[name]
        value = tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            raise SettingsError(f"{value!r} is not a {type(default).__name__}", f"overrides[{name!r}]",
                                f"The value in force is {default!r}.")
        clean[name] = value
    return dataclasses.replace(settings, **clean)


def current_names(settings: Any, overrides: dict[str, Any]) -> dict[str, Any]:
    """`overrides` with the old names of renamed settings (RENAMED of the class) replaced, with a warning.

    Raises SettingsError where a setting is given by both names.
    """
    current = {}
    for name, value in overrides.items():
        new = getattr(settings, "RENAMED", {}).get(name, name)
        if new != name:
            warnings.warn(f"the setting {name!r} is now called {new!r}", FutureWarning, stacklevel=4)
        if new in current:
            raise SettingsError(f"it is given twice, also by its old name {name!r}", f"overrides[{new!r}]")
        current[new] = value
    return current


Allowed = dict[str, tuple[str, Callable[[Any], bool]]]    # setting: what is allowed, in words, and the test of it


def choose(profiles: dict[str, Any], allowed: Allowed, profile: str, overrides: dict[str, Any]) -> Any:
    """The settings of a profile with some fields replaced. Raises SettingsError naming what makes no sense."""
    if profile not in profiles:
        raise SettingsError("no such profile", f"parameter profile: {profile!r}", f"Known: {', '.join(profiles)}.")
    settings = check_overrides(profiles[profile], overrides)
    for name, (words, test) in allowed.items():
        if not test(getattr(settings, name)):
            raise SettingsError(f"{getattr(settings, name)!r} is not {words}", f"setting {name}")
    return settings


def check_seed(seed: Any) -> None:
    """Raises SettingsError unless it is a whole number of 0 or more."""
    if type(seed) is not int or seed < 0:
        raise SettingsError(f"{seed!r} is not a whole number of 0 or more", "parameter seed")


def folder_of(chapter: str, profile: str = "embedded", data_dir: str = "", seed: int = 0, run_dir: str = "",
              overrides: dict[str, Any] | None = None, **_other: Any) -> Path:
    """`run_dir`, or data/runs/CHAPTER/PROFILE, with a short name of whatever differs from the defaults behind it."""
    if run_dir:
        return absolute(run_dir)
    differs = [str(absolute(data_dir)) if data_dir else "", seed, overrides or {}]
    suffix = "" if differs == ["", 0, {}] else f"-{fingerprint(*differs)[:8]}"
    return home() / "data" / "runs" / chapter / (profile + suffix)


@dataclass(frozen=True)
class Run:
    """A run folder whose manifest agrees with `asked`: the settings, profile, seed and data that fix its numbers."""

    folder: Path
    asked: dict[str, Any]

    @classmethod
    def open(cls, folder: Path | str, asked: dict[str, Any]) -> "Run":
        """Open the run folder, or begin it.

        Raises SettingsError when the folder holds a run of other settings; warns when other code made it.
        """
        run = cls(Path(folder).absolute(), json.loads(json.dumps(asked)))
        if not run.manifest_file.exists():
            from mdlib import reproducible  # imports torch, which takes seconds; `home` answers without

            write_json(run.manifest_file, {
                "asked": run.asked, "code": reproducible.code_version(),
                "training_code": training_code(run.asked.get("chapter", "")), "versions": reproducible.versions(),
                "started": _now(), "steps": {}})
            return run
        manifest = run.manifest
        if not {"asked", "code", "steps"} <= set(manifest):
            raise SettingsError("this manifest is not of a run of mdlib", str(run.manifest_file),
                                "Choose another run_dir.")
        there = manifest["asked"]
        if there != run.asked:
            raise SettingsError(f"this folder holds a run with another {_different(there, run.asked)}", str(run.folder),
                                "Choose another run_dir, or delete the folder.")
        if trained_by_other_code(run.folder, run.asked.get("chapter", "")):
            warnings.warn(f"the networks in {run.folder} were trained by other code ({manifest['code']}); "
                          "`mdlib run … --fresh` starts it anew", stacklevel=2)
        return run

    @property
    def manifest_file(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it is on disk now."""
        return read_json(self.manifest_file)

    def note(self, step: str, **facts: Any) -> None:
        """Add facts about one step (time, device, data) to the manifest."""
        with lock(self.folder / "manifest.lock"):       # another notebook may add to it at this moment
            manifest = self.manifest
            manifest["steps"][step] = {"time": _now(), **facts}
            write_json(self.manifest_file, manifest)

    def remember(self, name: str, compute: Callable[[], Any], **asked: Any) -> Any:
        """compute() as JSON-able figures, from `answers/` where the same code was asked the same. NaN becomes None."""
        path = self.folder / "answers" / f"{name}.json"
        asked = json.loads(json.dumps({**asked, "code": table_code(self.asked.get("chapter", ""))}))
        if path.exists() and (kept := read_json(path))["asked"] == asked:
            return kept["answer"]
        write_json(path, {"asked": asked, "answer": without_nan(compute())})
        return read_json(path)["answer"]


def _different(there: dict[str, Any], asked: dict[str, Any]) -> str:
    """In which entries two sets of parameters differ, of the settings each with both values."""
    names = [name for name in sorted({*there, *asked}) if there.get(name) != asked.get(name)]
    kept, wanted = (of.get("settings") or {} for of in (there, asked))
    settings = [f"{name} ({kept.get(name)!r} there, {wanted.get(name)!r} asked)" for name in sorted({*kept, *wanted})
                if kept.get(name) != wanted.get(name)]
    return ", ".join([*(name for name in names if name != "settings"), *settings])


def begin(chapter: str, profile: str, seed: int, settings: Any, data: Any, folder: Path, data_dir: Path, device: str,
          **facts: Any) -> Run:
    """Open the run folder of a chapter, and note when and on what it was started.

    settings: a dataclass; data: what tells this collection from others, as JSON; facts: further ones of the start.
    Raises SettingsError as `Run.open`.
    """
    from mdlib import reproducible

    run = Run.open(folder, {"chapter": chapter, "profile": profile, "seed": seed,
                            "settings": dataclasses.asdict(settings), "data": data})
    run.note("start", data_dir=data_dir.name, **facts, **reproducible.hardware(device))
    return run


def without_nan(value: Any) -> Any:
    """The value with None in place of NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
