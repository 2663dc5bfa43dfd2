"""Every file format an X-ray comes in, with grey values known beforehand; and the geometry of section 2.4."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_file import dicom
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from torchvision import transforms

from mdlib.data.images import centre_crop, fit_square, image_names, read_colour, read_grey, resized, seen, shown
from mdlib.errors import DataError, SettingsError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def saved(path: Path, image: Image.Image, **options) -> np.ndarray:
    image.save(path, **options)
    grey = read_grey(path)
    assert grey.dtype == np.uint8 and grey.flags.writeable
    return grey


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("ending", ["png", "PNG"])
def test_grey_comes_back_whatever_the_png_wraps_it_in(tmp_path, mode, ending):
    image = Image.fromarray(RAMP)
    if "A" in mode:
        image = image.convert(mode)
        image.putalpha(Image.fromarray(RAMP[::-1].copy()))  # alpha must not matter
    np.testing.assert_array_equal(saved(tmp_path / f"x.{ending}", image.convert(mode)), RAMP)


def test_a_palette_is_looked_up_and_not_taken_for_grey(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([10, 10, 10, 200, 200, 200, 30, 30, 30])
    image.putdata([0, 1, 2])
    assert saved(tmp_path / "x.png", image).tolist() == [[10, 200, 30]]
    assert saved(tmp_path / "y.png", image, transparency=1).tolist() == [[10, 200, 30]]


def test_one_bit_and_colour(tmp_path):
    assert saved(tmp_path / "bit.png", Image.fromarray(RAMP > 99)).tolist() == np.where(RAMP > 99, 255, 0).tolist()
    colour = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert saved(tmp_path / "colour.png", Image.fromarray(colour)).tolist() == [[76, 150, 29]]  # ITU-R 601 luma


def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path):
    values = np.array([[0, 128, 129, 257, 32768, 65406, 65407, 65535]], dtype=np.uint16)
    assert saved(tmp_path / "x.png", Image.fromarray(values)).tolist() == [[0, 0, 1, 1, 128, 254, 255, 255]]
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(saved(tmp_path / "y.png", Image.fromarray(every)), np.rint(every / 257))


def test_jpeg_grey_and_colour(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    for mode in ("L", "RGB"):
        grey = saved(tmp_path / f"{mode}.jpg", Image.fromarray(smooth).convert(mode), quality=95)
        assert grey.shape == (64, 64) and np.abs(grey.astype(int) - smooth).max() <= 3


def test_large_radiographs_pass(tmp_path):
    assert saved(tmp_path / "x.png", Image.new("L", (5000, 4000), 7)).shape == (4000, 5000)


def test_the_content_decides_not_the_name(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    np.testing.assert_array_equal(read_grey(tmp_path / "x.jpg"), RAMP)


TWELVE = np.arange(4096, dtype=np.uint16).reshape(64, 64)
DEEP = np.rint(TWELVE * (255 / 4095))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless])
def test_twelve_bits_without_a_window_fill_the_stored_range(tmp_path, syntax):
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "x.dcm", TWELVE, 12, syntax)), DEEP)
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "y.dcm", TWELVE // 2, 12, syntax)), np.rint(
        (TWELVE // 2) * (255 / 4095)))  # a dim image stays dim


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
def test_monochrome1_is_inverted(tmp_path, syntax):
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, syntax, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_grey(path), 255 - DEEP)


def test_eight_bits_and_a_name_without_ending(tmp_path):
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "IM0001", RAMP, 8)), RAMP)


def window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Part 3, C.11.2.1.2.1, as printed: 0..255 from a window."""
    scaled = ((values - (centre - 0.5)) / (width - 1) + 0.5) * 255
    return np.clip(np.rint(scaled), 0, 255)


def test_the_window_is_honoured_and_only_the_first(tmp_path):
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, WindowCenter=[2000, 50], WindowWidth=[1001, 10])
    grey = read_grey(path)
    np.testing.assert_array_equal(grey, window(TWELVE, 2000, 1001))
    assert grey.flat[1499] == 0 and grey.flat[2500] == 255 and 126 <= grey.flat[2000] <= 129


def test_rescale_comes_before_the_window(tmp_path):
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, WindowCenter=1000, WindowWidth=401, **rescale)
    np.testing.assert_array_equal(read_grey(path), window(TWELVE * 2.0 - 1024, 1000, 401))
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "y.dcm", TWELVE, 12, **rescale)), DEEP)
    inverse = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "z.dcm", TWELVE, 12, **inverse)), 255 - DEEP)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("width", [1, 2, 777.5])
@pytest.mark.filterwarnings("ignore:overflow")
def test_each_kind_of_window_is_pydicoms(tmp_path, function, width):
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, WindowCenter=1234, WindowWidth=width, VOILUTFunction=function)
    theirs = apply_voi_lut(TWELVE, pydicom.dcmread(path)) * (255 / 4095)
    assert np.abs(read_grey(path) - theirs).max() <= 0.5 + 1e-9


def test_an_impossible_window_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"x\.dcm.*window of width 0"):
        read_grey(dicom(tmp_path / "x.dcm", TWELVE, 12, WindowCenter=1, WindowWidth=0))


def test_signed_values(tmp_path):
    signed = (TWELVE.astype(np.int16) - 2048)
    np.testing.assert_array_equal(read_grey(dicom(tmp_path / "x.dcm", signed, 12)), DEEP)


def table(first: int, values: np.ndarray, bits: int) -> Sequence:
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), first, bits], values.astype(np.uint16).tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return Sequence([item])


def test_a_voi_table_is_looked_up_also_after_a_rescale(tmp_path):
    values = (np.arange(4096) // 16)[::-1]
    for first, rescale in ((0, {}), (100, {"RescaleSlope": 1, "RescaleIntercept": 100})):
        path = dicom(tmp_path / "x.dcm", TWELVE, 12, VOILUTSequence=table(first, values, 8), **rescale)
        np.testing.assert_array_equal(read_grey(path), values.reshape(64, 64))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_tables_of_every_depth(tmp_path, bits):
    values = np.arange(4096)[::-1] * 2**bits // 4096
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, JPEG2000Lossless, VOILUTSequence=table(0, values, bits))
    np.testing.assert_array_equal(read_grey(path), np.rint(values * (255 / (2**bits - 1))).reshape(64, 64))


def test_a_modality_table_sets_the_range(tmp_path):
    item = table(0, np.arange(4096) // 4, 10)
    item[0].ModalityLUTType = "US"
    path = dicom(tmp_path / "x.dcm", TWELVE, 12, ModalityLUTSequence=item)
    np.testing.assert_array_equal(read_grey(path), np.rint((TWELVE // 4) * (255 / 1023)))


def test_colour_becomes_luma(tmp_path):
    colour = np.repeat(RAMP[..., None], 3, axis=2)
    path = dicom(tmp_path / "x.dcm", RAMP, 8, PhotometricInterpretation="RGB", SamplesPerPixel=3,
                 PlanarConfiguration=0, PixelData=colour.tobytes())
    np.testing.assert_array_equal(read_grey(path), RAMP)


def test_jpeg_baseline_within_a_dicom_file(tmp_path):
    Image.fromarray(RAMP.repeat(4, 0).repeat(4, 1)).save(tmp_path / "x.jpg", quality=95)
    packed = encapsulate([(tmp_path / "x.jpg").read_bytes()])
    path = dicom(tmp_path / "x.dcm", np.zeros((64, 64), np.uint8), 8, JPEGBaseline8Bit, PixelData=packed)
    difference = read_grey(path).astype(int) - read_grey(tmp_path / "x.jpg")
    assert np.abs(difference).max() <= 1


def test_real_files(real_data):
    folder = real_data / "cxr_fullres_samples"
    one, other = (read_grey(path) for path in sorted(folder.glob("*.dcm")))
    assert one.shape == (1024, 1024) and 100 < one.mean() < 220
    np.testing.assert_array_equal(one, 255 - other)  # the same file, its header set to MONOCHROME1
    assert read_grey(folder / "16747_3_1.jpg").shape == (885, 1036)
    rgba = real_data / "chestxray14_fullsize/images/00000100_000.png"
    assert Image.open(rgba).mode == "RGBA"
    np.testing.assert_array_equal(read_grey(rgba), np.asarray(Image.open(rgba))[..., 0])


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.dcm", "deep.dcm"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.6, 0.95])
@pytest.mark.filterwarnings("ignore:End of file reached")
def test_a_truncated_file_is_named_with_a_remedy(tmp_path, name, part):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128), dtype=np.uint8)
    if name == "x.dcm":
        dicom(tmp_path / name, noise, 8)
    elif name == "deep.dcm":
        dicom(tmp_path / name, noise.astype(np.uint16) * 16, 12, JPEG2000Lossless)
    else:
        Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:int(len(whole) * part)])
    with pytest.raises(DataError) as raised:
        read_grey(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name}: ") and "again" in str(raised.value)


def test_what_is_no_image(tmp_path):
    for name in ("text.png", "text.dcm"):
        (tmp_path / name).write_text("this is a letter, not an image; " * 20)
        with pytest.raises(DataError, match=rf"{name}: .*again"):
            read_grey(tmp_path / name)
    with pytest.raises(DataError, match=r"nowhere.png: no such image\. Put"):
        read_grey(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="cannot be read"):
        read_grey(tmp_path)


def test_a_damaged_png_chunk(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", b"no zlib data") + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    with pytest.raises(DataError, match=r"x\.png: the image is truncated or damaged"):
        read_grey(tmp_path / "x.png")


def test_several_frames_and_no_pixels(tmp_path):
    path = dicom(tmp_path / "x.dcm", RAMP, 8, NumberOfFrames=2, PixelData=RAMP.tobytes() * 2)
    with pytest.raises(DataError, match="2 frames"):
        read_grey(path)
    data = pydicom.dcmread(dicom(tmp_path / "y.dcm", RAMP, 8))
    del data.PixelData
    data.save_as(tmp_path / "y.dcm")
    with pytest.raises(DataError, match="no pixel data"):
        read_grey(tmp_path / "y.dcm")


def frames_of(path: Path, count: int = 64, **elements) -> tuple[Path, np.ndarray]:
    frames = np.random.default_rng(0).integers(0, 4096, (count, 200, 200), dtype=np.uint16)
    return dicom(path, frames, 12, NumberOfFrames=count, **elements), frames


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_a_frame_is_what_a_file_of_its_own_would_be(tmp_path, syntax):
    path, frames = frames_of(tmp_path / "x.dcm", 3, syntax=syntax)
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(read_grey(path, number), read_grey(dicom(tmp_path / "y.dcm", frame, 12)))
    np.testing.assert_array_equal(read_grey(tmp_path / "y.dcm", 0), read_grey(path, 2))
    with pytest.raises(DataError, match=r"x\.dcm"):
        read_grey(path, 3)


def test_only_the_frame_asked_for_is_read(tmp_path):
    path, frames = frames_of(tmp_path / "x.dcm")
    read_grey(path, 0)
    tracemalloc.start()
    read_grey(path, 63)
    assert tracemalloc.get_traced_memory()[1] < frames.nbytes / 3
    tracemalloc.stop()


def test_rescale_and_window_of_an_enhanced_file_stand_in_its_functional_groups(tmp_path):
    def group(**elements) -> pydicom.Dataset:
        item, outer = pydicom.Dataset(), pydicom.Dataset()
        for name, value in elements.items():
            setattr(item, name, value)
        name = "FrameVOILUTSequence" if "WindowCenter" in elements else "PixelValueTransformationSequence"
        setattr(outer, name, Sequence([item]))
        return outer

    windows = [(1000, 500), (2000, 3000)]
    path, frames = frames_of(
        tmp_path / "x.dcm", 2,
        SharedFunctionalGroupsSequence=Sequence([group(RescaleSlope=2, RescaleIntercept=-1024)]),
        PerFrameFunctionalGroupsSequence=Sequence([group(WindowCenter=c, WindowWidth=w) for c, w in windows]))
    for number, (centre, width) in enumerate(windows):
        alone = dicom(tmp_path / "y.dcm", frames[number], 12, RescaleSlope=2, RescaleIntercept=-1024,
                      WindowCenter=centre, WindowWidth=width)
        np.testing.assert_array_equal(read_grey(path, number), read_grey(alone))


def test_colour_comes_back_and_grey_becomes_three_equal_channels(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "x.png")
    Image.fromarray(colour).convert("RGBA").save(tmp_path / "alpha.png")
    for name in ("x.png", "alpha.png"):
        np.testing.assert_array_equal(read_colour(tmp_path / name), colour)
    path = dicom(tmp_path / "x.dcm", RAMP, 8, SamplesPerPixel=3, PhotometricInterpretation="RGB", Rows=6, Columns=9,
                 PlanarConfiguration=0, PixelData=colour.tobytes())
    np.testing.assert_array_equal(read_colour(path), colour)
    Image.fromarray(RAMP).save(tmp_path / "grey.png")
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for path in (tmp_path / "grey.png", tmp_path / "deep.png", dicom(tmp_path / "grey.dcm", RAMP, 8)):
        np.testing.assert_array_equal(read_colour(path), np.stack([RAMP] * 3, axis=-1))


@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_whole_image_is_resized_as_torchvision_does_it(channels):
    image = np.random.default_rng(1).integers(0, 256, (40, 70, *channels), dtype=np.uint8)
    assert resized(image, (40, 70)) is image
    theirs = transforms.Resize((13, 50))(Image.fromarray(image))
    np.testing.assert_array_equal(resized(image, (13, 50)), np.asarray(theirs))


def test_the_names_of_images_in_a_folder(tmp_path):
    for name in ("b.png", "a.JPG", ".c.png", "notes.txt", "d.dcm", "png"):
        (tmp_path / name).touch()
    assert image_names(tmp_path) == ["a.JPG", "b.png", "d.dcm"]
    with pytest.raises(DataError, match="nowhere: no such folder"):
        image_names(tmp_path / "nowhere")


def test_floating_point_and_deeper_grey_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "x.tif")
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "y.tif")
    for name in ("x.tif", "y.tif"):
        with pytest.raises(DataError, match=rf"{name}: grey values.*16-bit PNG"):
            read_grey(tmp_path / name)


@pytest.mark.parametrize("shape", [(300, 300), (256, 256), (97, 97), (301, 400), (513, 299), (257, 258), (100, 60)])
def test_resize_and_crop_are_torchvisions_to_the_last_bit(shape):
    grey = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(grey).convert("RGB")  # as section 2.4 has it
    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
    ours = fit_square(grey, 256)
    assert ours.shape == (256, 256) and ours.flags.c_contiguous
    if shape[0] == shape[1]:
        np.testing.assert_array_equal(centre_crop(ours, 224), np.asarray(theirs)[..., 2])
    square = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])(Image.fromarray(grey))
    np.testing.assert_array_equal(ours, np.asarray(square))


def test_a_crop_takes_the_middle_and_must_fit():
    images = np.arange(2 * 6 * 6).reshape(2, 6, 6)
    assert centre_crop(images, 2).tolist() == [[[14, 15], [20, 21]], [[50, 51], [56, 57]]]
    for side in (0, 7):
        with pytest.raises(SettingsError, match="6 x 6"):
            centre_crop(images, side)


def test_what_is_shown_of_a_picture_is_what_the_network_sees_of_it():
    """At the network's own resolution the two are one; at any other they show the same part."""
    picture = np.random.default_rng(0).integers(0, 256, (72, 72), np.uint8)
    np.testing.assert_array_equal(shown(picture, 72, 64), seen(picture, 72, 64))
    ramp = np.tile(np.arange(144, dtype=np.uint8), (144, 1))
    assert shown(ramp, 72, 64).shape == (128, 128)
    assert shown(ramp, 72, 64)[0, [0, -1]].tolist() == [8, 135], "64 of 72 parts, from the middle"
    assert shown(ramp, 72, 64, most=36).shape == (32, 32)
