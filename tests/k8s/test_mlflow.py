"""MLflow's pod: the step before its server does what it is for."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.k8s import builds


def test_the_migration_makes_the_tables_of_the_address_in_its_environment(tmp_path: Path) -> None:
    [mlflow] = builds.build(builds.BASE).of_kind("Deployment")
    _, *rest = mlflow["spec"]["template"]["spec"]["initContainers"][0]["command"]
    database = tmp_path / "mlflow.db"
    named = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{database}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, *rest], env=os.environ | named, check=True, capture_output=True)
    with sqlite3.connect(database) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    connection.close()
    assert {"experiments", "runs", "registered_models", "alembic_version"} <= tables
