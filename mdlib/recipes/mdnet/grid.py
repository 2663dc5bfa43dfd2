"""The full tables of chapter 5: every row of Table 2 in every fold and over seeds, by one resumable command."""

GRID = {"seeds": 2}     # (ours); the folds are those of the settings
