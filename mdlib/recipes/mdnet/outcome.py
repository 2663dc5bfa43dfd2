"""All that page 3 tells of a published result, as five tables."""

from typing import NamedTuple

import pandas as pd

from mdlib.recipes.mdnet import graded, results

TABLES = {"trainings": results.by_training, "beside": results.beside, "means": results.means,
          "differences": results.differences, "grades": graded.agreement}


class Outcome(NamedTuple):
    """The tables of TABLES."""

    trainings: pd.DataFrame
    beside: pd.DataFrame
    means: pd.DataFrame
    differences: pd.DataFrame
    grades: pd.DataFrame
