"""What the checks of all kinds of images share: limits, references as arrays, files; bags and colour images."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from mdlib.data.checks import bags, colour_images, files, limits
from mdlib.data.checks.thumbnails import agreement, thumbnails
from mdlib.data.headers import Header

RNG = np.random.default_rng(0)


def test_at_most_a_fortieth_is_beyond_the_limits_and_none_of_few():
    values = RNG.normal(size=(4000, 2))
    low, high = limits.limits(values).T
    assert 0.02 < ((values < low) | (values > high)).mean() <= limits.RARE
    few = values[:30]
    assert (limits.limits(few) == np.column_stack([few.min(axis=0), few.max(axis=0)])).all()
    assert limits.evenly_spaced(3).tolist() == [0, 1, 2]
    assert len(limits.evenly_spaced(10**6)) == limits.MAX_IMAGES


def test_beyond_is_outside_the_limits_and_nan():
    usual = np.array([(0.0, 1.0), (-np.inf, 2.0)])
    found = limits.beyond({"a": np.array([0, 1, 1.1, np.nan]), "b": np.array([-9, 2, 3, 0])}, usual)
    assert found["a"].tolist() == [False, False, True, True] and found["b"].tolist() == [False, False, True, False]
    known = limits.Reference(usual, 5, 1234)
    messages = {name: "{value:.1f} of {low:.0f} to {high:.0f}, {share} of {n}" for name in "ab"}
    assert limits.warnings_beyond({"a": 1.5, "b": 0.0}, known, messages) == {"a": "1.5 of 0 to 1, 97.5% of 1,234"}


@dataclass(frozen=True, eq=False)
class Coloured(limits.Reference):
    mean: np.ndarray
    colour: float

    shapes: ClassVar[dict[str, tuple[int, ...]]] = {"limits": (2, 2)}


def test_a_reference_goes_through_a_file_of_arrays(tmp_path):
    known = Coloured(np.array([(0, 1), (-np.inf, 2)]), 7, 9, np.arange(4.0), 0.25)
    np.savez(tmp_path / "reference.npz", **known.arrays())
    with np.load(tmp_path / "reference.npz", allow_pickle=False) as arrays:
        again = Coloured.from_arrays(arrays)
    assert (again.n_train, again.n_held_out, again.colour) == (7, 9, 0.25) and type(again.n_train) is int
    assert np.array_equal(again.limits, known.limits) and np.array_equal(again.mean, known.mean)


@pytest.mark.parametrize("change, error", [
    ({"limits": np.zeros((3, 2))}, ValueError), ({"n_train": np.arange(2)}, ValueError), ({"mean": None}, KeyError)])
def test_other_arrays_are_refused(change, error):
    arrays = Coloured(np.zeros((2, 2)), 7, 9, np.arange(4.0), 0.25).arrays() | change
    with pytest.raises(error):
        Coloured.from_arrays({name: value for name, value in arrays.items() if value is not None})


def test_the_size_and_the_shape_of_a_file(tmp_path):
    for i, size in enumerate([(100, 50), (120, 50)]):    # width, height
        Image.new("L", size).save(tmp_path / f"{i}.png")
    usual = files.aspect_ratios(sorted(tmp_path.iterdir()))
    assert usual.tolist() == [2.0, 2.4]
    assert files.warnings_of_size((50, 110), (50, 100), usual) == {}
    assert files.warnings_of_size((50, 96), (40, 90), usual) == {}, "within the tolerance"
    assert set(files.warnings_of_size((50, 90), (40, 80), usual)) == {"shape"}
    assert "2.00 to 2.40" in files.warnings_of_size((50, 90), (40, 80), usual)["shape"]
    assert set(files.warnings_of_size((50, 90), (60, 80))) == {"size"}
    assert set(files.warnings_of_size((50, 200), (60, 80), usual)) == {"size", "shape"}


@pytest.mark.parametrize("header, colour, expected", [
    (Header(0.0, modality="OPT"), False, set()), (Header(0.0, modality="OT"), False, set()),
    (Header(0.0, modality="CT"), False, {"modality"}), (Header(40.0), False, {"colour"}),
    (Header(0.0), True, {"colour"}), (Header(40.0, modality="SM"), True, {"modality"})])
def test_the_header_of_a_file(header, colour, expected):
    assert set(files.warnings_of_header(header, ("OPT",), colour)) == expected


def test_agreement_is_the_correlation_with_the_mean():
    thumbs = thumbnails(RNG.integers(0, 256, (3, 40, 40)).astype(np.uint8))
    mean = RNG.normal(size=1024)
    expected = [np.corrcoef(thumb, mean)[0, 1] for thumb in thumbs]
    np.testing.assert_allclose(agreement(thumbs, mean), expected)
    assert not agreement(thumbs, np.ones(1024)).any()


class TestColourImages:
    def test_the_five_measures_are_counted_by_hand(self):
        image = np.zeros((2, 2, 3), np.uint8)
        image[0, 0] = image[1, 1] = (255, 0, 51)        # a chessboard
        found = colour_images.measure(image)
        assert [found[name] for name in ("red", "green", "blue")] == pytest.approx([0.5, 0, 0.1])
        assert found["contrast"] == pytest.approx((0.5 + 0 + 0.1) / 3)
        assert found["detail"] == pytest.approx(2), "each step is twice the standard deviation"
        assert colour_images.measure(np.full((4, 4, 3), 7, np.uint8))["detail"] == 0

    def test_an_image_of_another_stain_or_blurred_is_named(self, tmp_path):
        images = RNG.integers(0, 200, (40, 16, 16, 3)).astype(np.uint8)
        Image.fromarray(images[0]).save(tmp_path / "image.png")
        known = colour_images.reference(images[:20], images[20:], [tmp_path / "image.png"])
        assert known.n_train == known.n_held_out == 20 and known.is_coloured and known.aspect_ratios.tolist() == [1, 1]
        again = colour_images.Reference.from_arrays(known.arrays())
        assert colour_images.warnings_of(images[25], again) == {}
        bluer = images[25].copy()
        bluer[..., 2] += 50
        assert "The mean of blue" in colour_images.warnings_of(bluer, again)["blue"]
        blurred = images[25].astype(float).mean(axis=0, keepdims=True).repeat(16, axis=0).astype(np.uint8)
        assert {"contrast", "detail"} & set(colour_images.warnings_of(blurred, again))


class Bags:
    """Bags of 3 slices, bright above and dark below; as `BagSamples` gives them."""

    def __init__(self, count):
        ramp = torch.linspace(0.9, 0.1, 40)[:, None].expand(40, 40)
        generator = torch.Generator().manual_seed(count)
        self.images = (ramp + 0.02 * torch.randn(count, 3, 1, 40, 40, generator=generator)).clamp(0, 1)
        self.rows, self.count = np.arange(count), np.full(count, 3)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return {"bag": self.images[row]}


class TestBags:
    @pytest.fixture(scope="class")
    @staticmethod
    def known(tmp_path_factory):
        file = tmp_path_factory.mktemp("bags") / "slice.png"
        Image.new("L", (80, 40)).save(file)
        return bags.reference(Bags(20), Bags(30), [file], min_slices=4)

    def test_the_measures_are_the_naive_formulas(self, known):
        bag = Bags(5).images[2]
        grey = (bag[:, 0] * 255).round().numpy()
        found = bags.measure(bag, known.mean)
        assert found["brightness"] == pytest.approx(grey.mean() / 255)
        assert found["contrast"] == pytest.approx(np.mean([one.std() for one in grey]) / 255)
        thumbs = thumbnails(grey.astype(np.uint8))
        assert found["agreement"] == pytest.approx(np.mean([np.corrcoef(one, known.mean)[0, 1] for one in thumbs]))

    def test_what_is_unlike_the_training_is_named(self, known):
        assert (known.n_train, known.n_held_out, known.min_slices) == (20, 30, 3)
        again = bags.Reference.from_arrays(known.arrays())
        bag = Bags(30).images[4]
        assert bags.warnings_of(bag, again) == {}
        assert set(bags.warnings_of(bag[:2], again)) == {"few_slices"}
        assert set(bags.warnings_of(bag.flip(2), again)) == {"agreement"}, "upside down"
        assert {"brightness", "contrast"} <= set(bags.warnings_of(bag / 2, again))
