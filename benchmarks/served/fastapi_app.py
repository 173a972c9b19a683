"""Ray Serve's FastAPI application as its documentation shows one, over a raymill bundle's torch network.

All is as it is by default: the proxy, one replica, a pydantic body; rows are bare numbers, which spares it the names.

    python benchmarks/served/fastapi_app.py BUNDLE PORT
"""

import signal
import sys

import ray
import torch
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve

from raymill.bundle import Bundle

app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]]


@serve.deployment
@serve.ingress(app)
class Classifier:
    def __init__(self, bundle_uri: str) -> None:
        bundle = Bundle.read(bundle_uri)
        self.network = bundle.network()
        self.means = torch.tensor([column.mean for column in bundle.transform.columns])
        self.sds = torch.tensor([column.sd for column in bundle.transform.columns])

    @app.post("/predict")
    async def predict(self, body: Rows) -> list[list[float]]:
        """Probabilities, a list per row."""
        numbers = (torch.tensor(body.rows) - self.means) / self.sds
        with torch.inference_mode():
            logits = self.network(numbers, torch.empty(len(numbers), 0, dtype=torch.int64))
        return torch.softmax(logits, dim=1).tolist()


if __name__ == "__main__":
    ray.init()
    serve.start(http_options={"port": int(sys.argv[2])})
    serve.run(Classifier.bind(sys.argv[1]))
    signal.pause()
