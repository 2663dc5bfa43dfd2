"""What the widgets of chapter 5 show: reports with the attention of each word, and images found by a description."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdlib.data.phantoms import histology
from mdlib.data.phantoms.histology_reports import GRADES, expressed
from mdlib.data.reports import plain
from mdlib.data.vocabulary import PAD
from mdlib.errors import DataError
from mdlib.explain import overlay
from mdlib.models.mdnet import MDNet, class_maps
from mdlib.models.report_lstm import END
from mdlib.recipes.mdnet import looking, truth
from mdlib.recipes.mdnet.chapter import Chapter
from mdlib.recipes.mdnet.looking import explained
from mdlib.recipes.mdnet.plan import Training
from mdlib.recipes.mdnet.rows import MECHANISMS
from mdlib.recipes.mdnet.trainings import likelihoods, trained
from mdlib.recipes.mdnet.writing import likelihood
from mdlib.recipes.trainings import fabric_of

CLASS_ATTENTION = {"mdnet": "c of MDNet (AAS)", "ecnet": "c of EcNet alone"}
TWIN = "mitotic activity"       # what the twin of an image lacks
SEPARATOR = "; "                # of the sentences of a description


def models(chapter: Chapter) -> dict[str, torch.nn.Module]:
    """The trained networks of fold 0 and the first seed whose maps are shown, by row."""
    return {name: trained(chapter, Training(name, seed=chapter.seed)) for name in (*explained(chapter), "ecnet")}


def cases(chapter: Chapter, count: int = 8) -> list[dict]:
    """`count` test images, a conclusion after the other, as `mdlib.widgets.explorer.Case` takes them.

    Each is a dict with the report of MDNet and the attention of every mechanism for the same words; the class attention
    of every class; whether each sentence states what is true, and what a person wrote. Phantoms with mitoses have a
    twin that is drawn again without them.
    """
    reports, rows = chapter.reports, looking.shown(chapter, count).tolist()
    grades = [grades_of(chapter, row) for row in rows]
    less = {row: without_mitosis(of) for row, of in zip(rows, grades, strict=True) if has_mitosis(of)}
    drawn = [reports.read(row) for row in rows] + [truth.drawn_without(chapter, row, "mitosis") for row in less]
    said = answers(chapter, models(chapter), drawn, [*grades, *less.values()])
    twins = dict(zip(less, said[count:], strict=True))
    return [case(chapter, row, shown, twins.get(row)) for row, shown in zip(rows, said, strict=False)]


def case(chapter: Chapter, row: int, shown: dict[str, Any], twin: dict[str, Any] | None) -> dict[str, Any]:
    """One image of which `answers` are known, with its twin where there is one."""
    reports, name = chapter.reports, chapter.reports.table["image"].iloc[row]
    told = {"name": name, "alt": f"Bladder tissue, {name}: {reports.table['conclusion'].iloc[row]}",
            "outline": "urothelium"}
    shown = told | shown
    if "report" in shown:
        shown["reference"] = [reports.texts[row][0][part] for part in reports.parts]
    if truth.known(chapter):
        mask = truth.mask(chapter, row, "urothelium") > 0
        lines = [line / mask.shape[::-1] for line in overlay.contour(mask)]
        shown["contours"] = {name: lines for name in reports.classes}
    if twin:
        shown["twins"] = {TWIN: told | twin | {"alt": f"{told['alt']}, drawn without its mitoses"}}
    return shown


def grades_of(chapter: Chapter, row: int) -> dict[str, str]:
    """What is true of each part, as far as it is known: the grades of phantoms, the conclusion of any image."""
    known = truth.grades(chapter).iloc[row][list(GRADES)].to_dict() if truth.known(chapter) else {}
    return known | {"conclusion": chapter.reports.table["conclusion"].iloc[row]}


def has_mitosis(grades: dict[str, str]) -> bool:
    """Whether there is a mitosis to take away, which can be seen."""
    return grades.get("mitosis") in GRADES["mitosis"][1:]


def without_mitosis(grades: dict[str, str]) -> dict[str, str]:
    """The grades of the image without its mitoses, and the conclusion that follows from them."""
    less = grades | {"mitosis": GRADES["mitosis"][0]}
    sums = tuple(names.index(less[part]) for part, names in GRADES.items())
    return less | {"conclusion": histology.conclusion(sums)}


def answers(chapter: Chapter, networks: dict[str, torch.nn.Module], drawn: list[np.ndarray],
            grades: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What the networks say of each picture, uint8 (H, W, 3): report, attention, class attention, and what is correct.

    grades: what is true of each.
    """
    seen = np.stack([looking.seen(chapter, picture) for picture in drawn])
    written = looking.report_of(chapter, networks["mdnet"], seen)
    words, image = written["words"], looking.as_input(seen).to(chapter.device)
    attention, maps = {}, {}
    with torch.inference_mode():
        for name, model in networks.items():
            part = model.image_model if isinstance(model, MDNet) else model
            features = part.features(image)
            if name in CLASS_ATTENTION:
                maps[CLASS_ATTENTION[name]] = class_maps(features, part.classifier).cpu().numpy()
            if isinstance(model, MDNet):
                read = model(image, words.to(image.device))["attention"]
                attention[MECHANISMS[name]] = read.unflatten(3, features.shape[2:]).cpu().double().numpy()
    sentences, there = looking.sentences(chapter, 0, words.numpy()), words.numpy() > END
    found = []
    for i, (picture, true) in enumerate(zip(drawn, grades, strict=True)):
        logits = written["logits"][i].double()
        told = {"image": picture, "classes": chapter.reports.classes, "logits": logits.numpy(),
                "probability": logits.softmax(dim=0).numpy(), "maps": {name: of[i] for name, of in maps.items()},
                "truth": np.array([name == true["conclusion"] for name in chapter.reports.classes], float)}
        if there[i].any():      # a network that has hardly learned may write nothing
            told |= report(chapter, sentences[i], true)
            told["attention"] = {name: of[i][there[i]] for name, of in attention.items()}
        found.append(told)
    return found


def report(chapter: Chapter, sentences: list[str], true: dict[str, str]) -> dict[str, Any]:
    """A report as words, and whether each sentence states the grade or conclusion that is true; None: not known."""
    pairs = list(zip(chapter.reports.parts, sentences, strict=True))
    return {"report": [(part.replace("_", " "), sentence.split()) for part, sentence in pairs],
            "correct": [expressed(part, sentence) == true[part] if part in true else None for part, sentence in pairs]}


def pictures(chapter: Chapter) -> list[dict]:
    """The images that are searched, those of the test part, as `mdlib.widgets.search.Picture` takes them."""
    table = chapter.reports.table
    return [{"image": chapter.pixels[row], "name": table["image"].iloc[row], "label": table["conclusion"].iloc[row]}
            for row in pool(chapter)]


def pool(chapter: Chapter) -> np.ndarray:
    """The rows of the images that are searched."""
    return chapter.part("test")[:chapter.settings.pool or None]


def queries(chapter: Chapter, count: int = 8) -> list[dict]:
    """What a person wrote of `count` test images, as `mdlib.widgets.search.Query` takes it, and what is found by it.

    Without the conclusion (section 5.2.3), by MDNet of the first seed; the image that was described is left out.
    """
    reports, rows, scores = chapter.reports, chapter.part("test"), likelihoods(chapter, Training(
        "mdnet", seed=chapter.seed))
    found = {}
    for row in looking.shown(chapter, len(rows)):
        text = SEPARATOR.join(filter(None, (reports.texts[row][0][part] for part in reports.parts[:-1])))
        place = int(np.flatnonzero(rows == row)[0])
        order = [int(i) for i in np.argsort(-scores[place], kind="stable") if i != place]
        wanted = reports.table["conclusion"].iloc[row]
        found.setdefault(text, {"text": text, "wanted": wanted, "ranking": order,
                                "scores": scores[place][order].astype(float).tolist()})
    return list(found.values())[:count]


def answer(chapter: Chapter) -> Callable[[str], list[tuple[int, float]]]:
    """A function from a description to the images that fit it, best first: (place in `pictures`, log-likelihood).

    The sentences of a description stand between semicolons, full stops or line breaks. Each is scored as the part of a
    report that it is likeliest as (ours), and their log-likelihoods add up. Raises DataError for words that no training
    report has, and for a description without words.
    """
    model, fabric, rows = trained(chapter, Training("mdnet", seed=chapter.seed)), fabric_of(chapter), pool(chapter)
    parts = len(chapter.reports.parts) - 1

    def ranking(text: str) -> list[tuple[int, float]]:
        words = as_each_part(encoded(chapter, text), parts)
        scores = likelihood(chapter, model, fabric, words, rows, 0).reshape(-1, parts, len(rows))
        best = scores.mean(axis=2).argmax(axis=1)
        total = scores[np.arange(len(scores)), best].sum(axis=0)
        return [(int(place), float(total[place])) for place in np.argsort(-total, kind="stable")]
    return ranking


def encoded(chapter: Chapter, text: str) -> np.ndarray:
    """int64 (S, T): the sentences of a description. Raises as `answer`, also for a sentence that is too long."""
    vocabulary, longest = chapter.vocabulary(0), chapter.settings.longest
    sentences = [plain(part) for part in re.split(r"[;.\n]", text) if plain(part)]
    if not sentences:
        raise DataError("there are no words", "the description", "Describe what should be seen.")
    unknown = [word for sentence in sentences for word in vocabulary.unknown(sentence)]
    if unknown:
        raise DataError(f"no report has the word {', '.join(map(repr, dict.fromkeys(unknown)))}", "the description",
                        "Use the words of the prepared descriptions.")
    if any(len(sentence.split()) > longest for sentence in sentences):
        raise DataError(f"a sentence has more than {longest} words", "the description",
                        "Put a semicolon between sentences.")
    return vocabulary.encode(sentences, longest)


def as_each_part(ids: np.ndarray, parts: int) -> Tensor:
    """Sentences (S, T) as reports of one part each, int64 (S * parts, parts, T): each sentence once as every part."""
    words = np.full((len(ids), parts, parts, ids.shape[1]), PAD)
    words[:, np.arange(parts), np.arange(parts)] = ids[:, None]
    return torch.from_numpy(words.reshape(-1, parts, ids.shape[1]))
