"""The twelve methods of Table 1 and the seven poolings of Table 2 (Li et al., section 3.2), told by what differs."""

from dataclasses import dataclass

PYRAMID = (1 / 2, 3 / 4, 1.0)     # the scales i/4, i = 2, 3, 4


@dataclass(frozen=True)
class Method:
    """One of the compared methods; the defaults are those of MIMS, so each entry below says what is different."""

    kernels: str = "collection"     # the pairs of appendix A; "one": a single size; "none": no layer on the backbone
    scales: tuple[float, ...] = PYRAMID         # of the resizing operators
    image_scales: tuple[float, ...] = (1.0,)    # of the input images
    dilations: tuple[int, ...] = (1,)           # of the shared kernels
    normalise: bool = True                      # batch norm and scalar multipliers
    levels: tuple[str, ...] = ("layer4",)       # of the backbone: conv5_x; layer3 is conv4_x
    scratch: bool = False                       # a ResNet-34 from random weights
    slice_by_slice: bool = False                # each slice is classified, and the predictions are averaged


METHODS = {
    "mi_pre": Method(kernels="none", scales=(1.0,)),
    "pyramid_mi_pre": Method(kernels="none", scales=(1.0,), image_scales=PYRAMID),
    "mi_pre_conv": Method(kernels="one", scales=(1.0,)),
    "mims_noresizing": Method(scales=(1.0,)),
    "pyramid_mims": Method(scales=(1.0,), image_scales=PYRAMID),
    "mi_pre_trident": Method(kernels="one", scales=(1.0,), dilations=(1, 2, 3)),
    "si_cnn": Method(normalise=False),
    "featpyra": Method(kernels="one", scales=(1.0,), levels=("layer3", "layer4")),
    "resnet34_scratch": Method(kernels="none", scales=(1.0,), scratch=True),
    "mims": Method(),
    "mims_patchcls": Method(slice_by_slice=True),
    "mi_pre_conv_patchcls": Method(kernels="one", scales=(1.0,), slice_by_slice=True),
}
# Table 2 lists seven, though the text says six: name -> k of the top-k pooling, or what is done instead
POOLINGS = {"mean": "mean", "max": 1, "max_inst": "max_inst", "top2": 2, "top3": 3, "top4": 4, "top5": 5}
ONE = 3     # (ours) the single kernel size, with as many channels as the pairs have together; the text does not say

NAMES = {"mi_pre": "MI-Pre", "pyramid_mi_pre": "Pyramid MI-Pre", "mi_pre_conv": "MI-Pre-Conv",
         "mims_noresizing": "MIMS-NoResizing", "pyramid_mims": "Pyramid MIMS", "mi_pre_trident": "MI-Pre-Trident",
         "si_cnn": "SI-CNN", "featpyra": "FeatPyra-4,5", "resnet34_scratch": "ResNet34-scratch", "mims": "MIMS",
         "mims_patchcls": "MIMS-patchcls", "mi_pre_conv_patchcls": "MI-Pre-Conv-patchcls",
         "mean": "mean", "max": "max", "max_inst": "max-inst", "top2": "k = 2", "top3": "k = 3", "top4": "k = 4",
         "top5": "k = 5"}

# Table 1, AUROC; a method that classifies slices has none of them on images
COLUMNS = ("cirrus", "spectralis", "mmd", "crc_msi")
TABLE_1 = {
    "mi_pre": (0.574, 0.906, 0.956, 0.880), "pyramid_mi_pre": (0.638, 0.371, 0.965, 0.855),
    "mi_pre_conv": (0.972, 0.990, 0.961, 0.870), "mims_noresizing": (0.956, 0.975, 0.961, 0.879),
    "pyramid_mims": (0.848, 0.881, 0.966, 0.673), "mi_pre_trident": (0.930, 1.000, 0.966, 0.897),
    "si_cnn": (0.983, 1.000, 0.972, 0.880), "featpyra": (0.959, 0.991, 0.970, 0.888),
    "resnet34_scratch": (0.699, 0.734, 0.824, 0.667), "mims": (0.986, 1.000, 0.972, 0.901),
    "mims_patchcls": (0.874, 0.722), "mi_pre_conv_patchcls": (0.764, 0.227),
}
TABLE_2 = {"mean": 0.829, "max": 0.960, "max_inst": 0.975, "top2": 0.980, "top3": 0.980, "top4": 0.986, "top5": 0.986}
TABLE_3 = {2.0: 0.261, 0.75: 0.451, 0.5: 0.257}     # Pearson correlations, supplementary B
