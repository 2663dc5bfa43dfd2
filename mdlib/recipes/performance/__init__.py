"""Speed, as ratios measured in one run: mdlib beside what a user would otherwise write or install."""

from mdlib.recipes.performance import exhibits, kept
from mdlib.recipes.performance.chapter import Chapter, run_folder, start
from mdlib.recipes.performance.settings import PROFILES, Performance, choose

__all__ = ["PROFILES", "Chapter", "Performance", "choose", "exhibits", "kept", "run_folder", "start"]
