"""Which trainings each exhibit needs, and what the paper prints. What several exhibits need is trained once."""

from dataclasses import replace

from mdlib.papers.mammography.networks import WITH_POOL, Run
from mdlib.papers.mammography.settings import NETWORKS
from mdlib.study.study import Study

OURS = Run("resnet152")
NAMES = {"alexnet": "AlexNet", "vgg16": "VGG-16", "inception_v3": "Inception-v3", "resnet152": "ResNet-152"}
TABLE_1 = {"alexnet": 0.8632, "vgg16": 0.8929, "inception_v3": 0.8805, "resnet152": 0.8757}     # AUC, validation part


def exhibit(name: str, study: Study) -> list[Run]:
    """The trainings that an exhibit needs, of all seeds of the run.

    `table1`: the networks; `pool`: ResNet-152 with both ways of pooling; `folds`: ResNet-152 in every fold.
    """
    chosen = {"table1": [Run(network) for network in NETWORKS if network in study.settings.networks],
              "pool": [Run(WITH_POOL), Run(WITH_POOL, pool="first7")],
              "folds": [Run(WITH_POOL, fold=fold) for fold in range(study.settings.n_folds)]}[name]
    return [replace(run, seed=seed) for run in chosen for seed in study.seeds]


def planned(study: Study) -> list[Run]:
    """All trainings of a run, each once, ordered by seed."""
    every = dict.fromkeys(run for name in study.settings.exhibits for run in exhibit(name, study))
    return sorted(every, key=lambda run: run.seed)


def shipped(study: Study) -> list[Run]:
    """The networks that come with mdlib: on the phantoms those of Table 1."""
    return [Run(network) for network in NETWORKS] if study.data.is_phantom else []
