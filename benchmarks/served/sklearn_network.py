"""A raymill network as scikit-learn's MLPClassifier, which has neither SELU nor a smooth clip of its inputs.

It knows numpy and scikit-learn only, because an MLflow model carries it along.
"""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import validate_data

_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017


class SeluClassifier(MLPClassifier):
    """An MLPClassifier of two classes by raymill's forward pass, once it has been given raymill's weights."""

    def take(self, scale: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray]) -> None:
        """Takes weights `(inputs, outputs)` that end in two logits, of which one logistic output is made."""
        self.scale_ = scale
        self.coefs_ = [*weights[:-1], np.diff(weights[-1])]
        self.intercepts_ = [*biases[:-1], np.diff(biases[-1])]

    def _forward_pass_fast(self, X: np.ndarray, check_input: bool = True) -> np.ndarray:
        out = validate_data(self, X, reset=False) if check_input else X
        out = out / np.sqrt(1 + (out / 3) ** 2) * self.scale_
        for weight, bias in zip(self.coefs_[:-1], self.intercepts_[:-1], strict=True):
            out = out @ weight
            out += bias
            _selu(out)
        return 1 / (1 + np.exp(-(out @ self.coefs_[-1] + self.intercepts_[-1])))


def _selu(out: np.ndarray) -> None:
    """In place, as scikit-learn's own activations are."""
    negative = np.minimum(out, 0)
    np.exp(negative, out=negative)
    negative -= 1
    negative *= _ALPHA
    np.maximum(out, 0, out=out)
    out += negative
    out *= _SCALE
