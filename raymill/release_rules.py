"""The spec's serve.release section: by how much a candidate may be worse, and how sure the judge must be."""

from __future__ import annotations

from pydantic import Field

from raymill.section import Count, Section

_NULL = "null: not judged"


class ReleaseRules(Section):
    """What `raymill.judge` holds a candidate to while it gets a share of the requests, or a shadow of them.

    Every limit is on the mean over requests, and each request counts once, whatever its number of rows.
    """

    alpha: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="how often at most, over all looks, a candidate within every limit is rolled back, and one beyond "
        "a limit promoted",
    )
    min_requests: Count = Field(1000, description="promotes after no fewer answered by the candidate")
    min_duration_s: float = Field(600, ge=0, description="promotes no earlier")
    max_error_rise: float = Field(
        0.005, gt=0, lt=1, description="by how much the share of failed requests may be above the stable version's"
    )
    max_slow_rise: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description=f"the same of the share slower than the stable version's 99th percentile; {_NULL}",
    )
    max_loss_rise: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="where true labels come: the same of the share of wrong rows, or of the mean squared error in "
        f"target variances, at most 1 a row; {_NULL}",
    )
    max_disagreement: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="where both versions score a request, until labels have decided: the loss that the stable version "
        "expects of the candidate, which a better one has too: its probability of its own class minus that of the "
        f"candidate's, or the squared difference in target variances; {_NULL}, and only labels promote",
    )
    max_score_shift: float | None = Field(
        0.15,
        gt=0,
        lt=1,
        description="until labels have decided: how far scores may move on average, as a share of their range "
        f"(probabilities, or four target sds); {_NULL}",
    )
