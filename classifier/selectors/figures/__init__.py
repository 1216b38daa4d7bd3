"""The figures page: what is counted, in which words, and how it is drawn."""

from classifier.selectors.figures.counts import Period
from classifier.selectors.figures.page import FiguresPage, figures_page

__all__ = ["FiguresPage", "Period", "figures_page"]
