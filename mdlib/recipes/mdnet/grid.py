"""The full tables of chapter 5: every row of Table 2 in every fold and over seeds, by one resumable command."""

from mdlib.recipes.mdnet.rows import EVERY

GRID = {"rows": list(EVERY), "seeds": 1}    # (ours); more by --set seeds=3; the folds are those of the settings
