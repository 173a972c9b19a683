"""Plots as PNG bytes: loss curves, ROC curves, residuals and the confusion matrix.

Figures are made without pyplot, so that nothing global is touched and any thread may draw. Colours are those of
Okabe & Ito, which the colour-blind can tell apart. Knows arrays; refuses to know where a plot goes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raymill.history import EpochRecord
from raymill.metrics import roc_auc
from raymill.task import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 2000
_MOST_CURVES = 10
_MOST_NUMBERED_CLASSES = 12
_MOST_NAMED_CLASSES = 40
_LABEL_CHARACTERS = 24
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#8C8C8C"
_COLOURS = (_BLUE, _ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def loss_curve(history: Sequence[EpochRecord]) -> bytes:
    """Train and validation loss by epoch, the best validation epoch marked."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _canvas("Loss", "epoch", "loss")
    records = _thinned(history)
    epochs = [record.epoch for record in records]
    marker = "o" if len(records) < 2 else None
    axes.plot(epochs, [r.train_loss for r in records], color=_BLUE, marker=marker, label="train")
    axes.plot(epochs, [r.validation_loss for r in records], color=_ORANGE, marker=marker, ls="--", label="validation")
    finite = [record for record in history if np.isfinite(record.validation_loss)]
    if finite:
        best = min(finite, key=lambda record: record.validation_loss)
        label = f"best: {best.validation_loss:.4g} at epoch {best.epoch}"
        axes.plot(best.epoch, best.validation_loss, "D", color=_ORANGE, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return _png(figure)


def roc(target: np.ndarray, scores: np.ndarray, task: Task) -> bytes:
    """ROC curves of class indices `(rows,)` and probabilities `(rows, classes)`.

    One curve for two classes; for many, one against the rest for each of the ten classes with the most rows.
    """
    figure, axes = _canvas("ROC", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1, ls=":")
    counts = np.bincount(target, minlength=task.outputs)
    shown = [1] if task.outputs == 2 else np.argsort(-counts, kind="stable")[:_MOST_CURVES]
    for i, c in enumerate(index for index in shown if 0 < counts[index] < len(target)):
        false_rate, true_rate = _roc_points(target == c, scores[:, c])
        label = f"AUC {roc_auc(target == c, scores[:, c]):.3f}   {_label(task.classes[c])}"
        style = "-" if i < len(_COLOURS) else "--"
        axes.plot(false_rate, true_rate, color=_COLOURS[i % len(_COLOURS)], ls=style, label=label)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower right", fontsize="small")
    else:
        _say(axes, "undefined: all rows are of one class")
    axes.set_aspect("equal")
    return _png(figure)


def residuals(target: np.ndarray, scores: np.ndarray) -> bytes:
    """Actual minus predicted against predicted, and how often each residual comes; both `(rows,)`, own units."""
    figure, axes = _canvas("Residuals", "predicted", "actual minus predicted")
    errors = target - scores
    some = np.arange(len(errors))
    if len(some) > _MOST_POINTS:
        some = np.random.default_rng(0).choice(some, _MOST_POINTS, replace=False)
        axes.set_title(f"{_MOST_POINTS:,} of {len(errors):,} rows", loc="right", fontsize="small", color=_GREY)
    axes.axhline(0, color=_GREY, lw=1)
    axes.scatter(scores[some], errors[some], s=8, alpha=0.5, color=_BLUE, linewidths=0)
    margin = axes.inset_axes((1.02, 0, 0.2, 1), sharey=axes)
    margin.hist(errors, bins=40, orientation="horizontal", color=_BLUE, alpha=0.6)
    margin.axis("off")
    return _png(figure)


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> bytes:
    """The confusion matrix `(classes, classes)`: rows are true classes, shaded by the share of their row."""
    side = min(max(4.0, 0.6 * len(classes) + 2), 12.0)
    figure, axes = _canvas("Confusion", "predicted class", "true class", size=(side + 1, side))
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.grid(False)
    if len(classes) <= _MOST_NAMED_CLASSES:
        names = [_label(name) for name in classes]
        upright = max(map(len, names)) * len(names) <= _LABEL_CHARACTERS
        axes.set_xticks(range(len(names)), names, rotation=0 if upright else 90)
        axes.set_yticks(range(len(names)), names)
    if len(classes) <= _MOST_NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=shade, fontsize="small")
    return _png(figure)


def _canvas(title: str, x: str, y: str, size: tuple[float, float] = (6.4, 4.4)) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes, which says enough.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(sink, format="png")
    return sink.getvalue()


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def _label(name: str) -> str:
    """A name short enough for a legend, its dollar signs no mathematics."""
    short = name if len(name) <= _LABEL_CHARACTERS else f"{name[: _LABEL_CHARACTERS - 1]}…"
    return short.replace("$", r"\$")


def _thinned(items: Sequence[Any]) -> Sequence[Any]:
    """At most 2,000 of the items, evenly spaced, first and last among them."""
    if len(items) <= _MOST_POINTS:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, _MOST_POINTS).astype(int)]


def _roc_points(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates from (0, 0) to (1, 1), at most 2,000 points evenly along the curve."""
    order = np.argsort(-scores)
    ends = np.append(np.diff(scores[order]) != 0, True)
    true_rate = np.append(0, np.cumsum(positive[order])[ends]) / positive.sum()
    false_rate = np.append(0, np.cumsum(~positive[order])[ends]) / (~positive).sum()
    if len(true_rate) > _MOST_POINTS:
        along = true_rate + false_rate
        keep = np.unique(np.searchsorted(along, np.linspace(0, 2, _MOST_POINTS)).clip(0, len(along) - 1))
        return false_rate[keep], true_rate[keep]
    return false_rate, true_rate
