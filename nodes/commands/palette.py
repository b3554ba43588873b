"""Colours of the plots: those of Okabe and Ito, "Color universal design", 2008, for every eye."""

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK, GREY, PALE = "#56B4E9", "#D55E00", "#000000", "#9A9A9A", "#C8C8C8"

SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY)
"""In turn for segments or runs; vermilion is kept for what is missing."""
LABELS = {
    "general": GREEN,
    "planar": ORANGE,
    "rotation": SKY,
    "static": PALE,
    "lost": VERMILION,
    "none": GREY,
}
"""Of the motion labels of pairs."""


def series(index: int) -> str:
    """Return the colour of a segment or a run."""
    return SERIES[index % len(SERIES)]
