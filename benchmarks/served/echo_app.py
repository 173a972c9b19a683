"""A Serve application that sends every body back, by the settings of raymill's endpoints: what Serve itself costs."""

from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    ray_actor_options={"num_cpus": 0.5},
    max_ongoing_requests=256,
    autoscaling_config={"min_replicas": 1, "max_replicas": 1},
    logging_config={"log_level": "WARNING", "enable_access_log": False},
)
class Echo:
    async def __call__(self, request: Request) -> Response:
        return Response(await request.body(), media_type="application/json")
