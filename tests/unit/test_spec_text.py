"""Every mistake in a spec names its line, its key and the nearest key that there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymill.errors import SpecError
from raymill.model_spec import ImportedSpec, LinearSpec, MlpSpec
from raymill.spec import Spec, Threshold
from raymill.spec_text import load_spec, parse_spec

FIRST = """\
name: flights
task: {type: classification, target: late}
data:
  source: flights.csv
"""


def parse(text: str = FIRST, *overrides: str, folder: str = "/home/me") -> Spec:
    return parse_spec(text, "f.yaml", overrides, Path(folder))


def mistakes(text: str = FIRST, *overrides: str) -> list[str]:
    """The lines that say what is wrong."""
    with pytest.raises(SpecError) as caught:
        parse(text, *overrides)
    assert caught.value.fix.endswith(".")
    lines = caught.value.what.splitlines()
    assert all(line.endswith(".") for line in lines)
    return lines


def test_the_shortest_spec_is_three_sections() -> None:
    spec = parse()
    assert (spec.name, spec.task.column, spec.task.type) == ("flights", "late", "classification")
    assert spec.gate_metric == "roc_auc"


def test_a_resolved_spec_reads_back_as_itself() -> None:
    spec = parse(FIRST + "features: {ignore: [a], hour: {type: category}}\nmodel: {import: my.net.build}\n")
    assert Spec.model_validate(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("train: {epoch: 3}", "f.yaml:5: unknown key 'train.epoch'; did you mean 'epochs'? known here: "),
        ("train:\n  optimizer:\n    rate: 3", "f.yaml:7: unknown key 'train.optimizer.rate'; known here: "),
        ("tasks: 3", "f.yaml:5: unknown key 'tasks'; did you mean 'task'? known here: data, evaluate, "),
        ("features:\n  hour: {typ: number}", "f.yaml:6: unknown key 'features.hour.typ'; did you mean 'type'? known"),
        ("model: {typ: mlp}", "f.yaml:5: unknown key 'model.typ'; did you mean 'type'? known here: dropout, "),
        ("model: {type: linear, hidden: [3]}", "f.yaml:5: unknown key 'model.hidden'; known here: type."),
        ("model: {import: a.b, option: {}}", "f.yaml:5: unknown key 'model.option'; did you mean 'options'? known"),
        ("model: {import: a.b, type: mlp}", "f.yaml:5: unknown key 'model.type'; known here: import, options."),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest_key(lines: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in mistakes(FIRST + lines))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("train: {epochs: 0}", "f.yaml:5: train.epochs should be greater than 0, found 0."),
        (
            "train: {epochs: 1.5}",
            "f.yaml:5: train.epochs should be a valid integer, got a number with a fractional part, found 1.5.",
        ),
        (
            "train:\n  optimizer: {lr: fast}",
            "f.yaml:6: train.optimizer.lr should be a valid number, unable to parse string as a number, found 'fast'.",
        ),
        ("train: {optimizer: {type: adam}}", "f.yaml:5: train.optimizer.type should be 'adamw', found 'adam'."),
        (
            "store: s3://KEY:SECRET@lake/x",
            "f.yaml:5: store: write s3://lake/PREFIX without keys or settings, which are taken from AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION, or from a profile.",
        ),
        ("store: s3:///x", "f.yaml:5: store: write s3://BUCKET/PREFIX, with the name of a bucket."),
        ("train: {early_stopping: {}}", "f.yaml:5: 'train.early_stopping.patience' is missing."),
        (
            "train: {checkpoint_every: 60}\nserve: {route: x}",
            "f.yaml:6: serve.route should be a path as / or /models/flights, found 'x'.",
        ),
        (
            "train: {checkpoint_every: 1m}",
            "f.yaml:5: train.checkpoint_every: write seconds as 60s or steps as 500, not '1m'.",
        ),
        (
            "train: {checkpoint_every: yes}",
            "f.yaml:5: train.checkpoint_every: write seconds as 60s or steps as 500, not True.",
        ),
        ("model: {type: mpl}", "f.yaml:5: model.type is 'mpl'; did you mean 'mlp'? known here: linear, mlp."),
        ("model: mlp", "f.yaml:5: model should hold dropout, hidden, type as `key: value`, found 'mlp'."),
        ("features:", "f.yaml:5: features should hold ignore as `key: value`, found nothing."),
        (
            "features: {hour: number}",
            "f.yaml:5: features.hour should hold private, type as `key: value`, found 'number'.",
        ),
        ("features: {ignore: hour}", "f.yaml:5: features.ignore should be a list, found 'hour'."),
        ("features: {late: {type: number}}", "f.yaml:5: features.late: this column is the target."),
        (
            "model: {import: net}",
            "f.yaml:5: model.import should be a module and a function in it, as my_package.net.build_model, "
            "found 'net'.",
        ),
        ("serve:\n  replicas:\n    min: 3\n    max: 2", "f.yaml:8: serve.replicas.max: 2 is less than min, 3."),
        ("serve: {port: 81, grpc_port: 81}", "f.yaml:5: serve.grpc_port: 81 is serve.port, which is HTTP's."),
        (
            "serve: {grpc_port: 81, tls: {certificate: c, key: k}}",
            "f.yaml:5: serve.grpc_port: Ray Serve's gRPC carries no TLS: leave it or serve.tls out.",
        ),
        (
            "evaluate:\n  gate: {must_beat: [linear, tree]}",
            "f.yaml:6: evaluate.gate.must_beat.1 should be 'linear' or 'gradient_boosting', found 'tree'.",
        ),
    ],
)
def test_a_wrong_value_names_its_line_its_key_and_what_was_found(lines: str, expected: str) -> None:
    assert mistakes(FIRST + lines) == [expected]


@pytest.mark.parametrize(
    ("lines", "start"),
    [
        (
            "evaluate:\n  slices: [carrier]\n  metrics:\n  - accuracy\n  - auc\n",
            "f.yaml:9: evaluate.metrics.1: 'auc' is no",
        ),
        ("evaluate:\n  gate:\n    metric: r2", "f.yaml:7: evaluate.gate.metric: 'r2' is no metric of classification; "),
    ],
)
def test_an_unknown_metric_names_its_own_line_and_the_known_ones(lines: str, start: str) -> None:
    (line,) = mistakes(FIRST + lines)
    assert line.startswith(start) and "roc_auc, accuracy" in line


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("{train: 0.5}", "data.split: train, validation and test must add up to 1, not 0.7."),
        ("{by: time}", "data.split.by: a split by time needs a column."),
        (
            "{column: hour}",
            "data.split.column: a random split takes no column; use by: group or by: time, or data.key.",
        ),
        ("{by: date}", "data.split.by should be 'random', 'group' or 'time', found 'date'."),
    ],
)
def test_a_split_is_consistent(split: str, expected: str) -> None:
    assert mistakes(FIRST + f"  split: {split}") == [f"f.yaml:5: {expected}"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("train: {lr: 1}", "unknown key 'train.lr'; did you mean 'train.optimizer.lr'? "),
        ("epochs: 3", "unknown key 'epochs'; did you mean 'train.epochs'? "),
        ("train: {dropout: 0.1}", "unknown key 'train.dropout'; did you mean 'model.dropout'? "),
        ("train: {zebra: 1}", "unknown key 'train.zebra'; known here: "),
    ],
)
def test_a_key_in_the_wrong_section_is_told_its_place(lines: str, expected: str) -> None:
    (line,) = mistakes(FIRST + lines)
    assert line.startswith(f"f.yaml:5: {expected}")


def test_all_mistakes_are_said_at_once() -> None:
    text = "name: My Flights\ntask: {type: x, target: 3}\ntrain: {epochs: -1, checkpoint_every: 1m}"
    assert mistakes(text) == [
        "f.yaml:1: name should be up to 40 lower-case letters, digits and inner hyphens, found 'My Flights'.",
        "f.yaml:2: task.type should be 'classification' or 'regression', found 'x'.",
        "f.yaml:2: task.target should be text, found 3; write it in quotes.",
        "f.yaml:1: 'data' is missing.",
        "f.yaml:3: train.epochs should be greater than 0, found -1.",
        "f.yaml:3: train.checkpoint_every: write seconds as 60s or steps as 500, not '1m'.",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.yaml holds no `key: value` lines."),
        ("- a\n- b", "f.yaml holds no `key: value` lines."),
        ("a: [b\nc: d", "f.yaml:2: not YAML: expected ',' or ']', but got ':'."),
        ("a: b: c", "f.yaml:1: not YAML: mapping values are not allowed here."),
        ("name: x\n\tname: y", "f.yaml:2: not YAML: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2", "f.yaml:2: not YAML: but found another document."),
        ("a: *other", "f.yaml:1: not YAML: found undefined alias 'other'."),
        (
            "a: !!python/object:os.system {}",
            "f.yaml:1: not YAML: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'.",
        ),
        (FIRST + "name: again\n", "f.yaml:5: 'name' is written twice."),
        (FIRST + "train:\n  epochs: 1\n  epochs: 2\n", "f.yaml:7: 'epochs' is written twice."),
    ],
)
def test_text_that_is_no_spec_at_all_names_its_line(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_a_key_that_is_no_text_is_named() -> None:
    assert "f.yaml:5: the key 1 should be text; write it in quotes." in mistakes(FIRST + "1: x\n")


def test_overrides_take_the_place_of_what_the_file_says() -> None:
    spec = parse(FIRST + "train: {epochs: 3}\n", "train.epochs=5", "model.type=linear", "features.hour.type=category")
    assert (spec.train.epochs, spec.model, spec.features.types) == (5, LinearSpec(type="linear"), {"hour": "category"})


def test_an_override_may_hold_a_whole_section() -> None:
    spec = parse(FIRST, "task.target={column: delay, at_least: 30}", "model={import: a.b}", "evaluate.slices=[x, y]")
    assert spec.task.target == Threshold(column="delay", at_least=30)
    assert spec.model == ImportedSpec.model_validate({"import": "a.b"})
    assert spec.evaluate.slices == ("x", "y")


def test_a_number_with_an_exponent_is_a_number() -> None:
    assert parse(FIRST + "train: {optimizer: {lr: 1e-3}}").train.optimizer.lr == 1e-3
    assert parse(FIRST, "train.optimizer.lr=1e-3").train.optimizer.lr == 1e-3


def test_an_override_may_take_a_value_away() -> None:
    assert parse(FIRST + "train: {gradient_clip: 1.0}", "train.gradient_clip=null").train.gradient_clip is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'epochs'?"),
        ("model.type=mpl", "model.type is 'mpl'; did you mean 'mlp'? known here: linear, mlp."),
        ("data.split.train=.5", "data.split: train, validation and test must add up to 1, not 0.7."),
        ("evaluate.gate.metric=auc", "evaluate.gate.metric: 'auc' is no metric of classification"),
        ("task.target.at_most=3", "unknown key 'task.target.at_most'; did you mean 'at_least'?"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(override: str, expected: str) -> None:
    assert any(line.startswith(f"override {override}: {expected}") for line in mistakes(FIRST, override))


def test_a_mistake_in_an_override_of_a_section_that_the_file_has_too_names_the_override() -> None:
    text = FIRST + "model:\n  type: mlp\n  hidden: [8]\n"
    override = "model={type: linear, hidden: [8]}"
    assert mistakes(text, override) == [f"override {override}: unknown key 'model.hidden'; known here: type."]


def test_a_misspelt_key_of_a_target_in_an_override_is_named() -> None:
    assert mistakes(FIRST, "task.target={colum: a, at_least: 2}")[-1].endswith(
        "unknown key 'task.target.colum'; did you mean 'column'? known here: at_least, column."
    )


@pytest.mark.parametrize("override", ["train", "train.epochs", "=3", "a..b=3", ".a=3"])
def test_an_override_without_key_or_value_is_refused(override: str) -> None:
    assert mistakes(FIRST, override) == [f"The override {override!r} is not KEY=VALUE."]


def test_an_override_that_is_no_yaml_is_refused() -> None:
    assert mistakes(FIRST, "evaluate.slices=[a") == ["The value of the override 'evaluate.slices=[a' is not YAML."]


def test_relative_paths_are_beside_the_spec() -> None:
    spec = parse(FIRST + "store: out\ntracking: sqlite:///mlflow.db\n", folder="/home/me")
    assert (spec.data.source, spec.store) == ("/home/me/flights.csv", "/home/me/out")
    assert spec.tracking == "sqlite:////home/me/mlflow.db"


def test_absolute_and_remote_paths_stay_as_they_are() -> None:
    text = FIRST.replace("flights.csv", "s3://lake/flights/") + "store: /data/store\ntracking: http://mlflow:5000\n"
    spec = parse(text)
    assert (spec.data.source, spec.store, spec.tracking) == ("s3://lake/flights/", "/data/store", "http://mlflow:5000")
    assert parse(FIRST + "tracking: sqlite:////srv/m.db\n").tracking == "sqlite:////srv/m.db"


def test_bundled_data_is_no_path() -> None:
    assert parse(FIRST.replace("flights.csv", "bundled:flights")).data.source == "bundled:flights"


def test_the_default_store_and_tracker_are_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(FIRST)
    spec = load_spec(tmp_path / "f.yaml")
    assert spec.store == f"{tmp_path}/.raymill"
    assert spec.tracking == f"sqlite:///{tmp_path}/.raymill/mlflow.db"


def test_a_remote_store_needs_a_tracker_to_be_named() -> None:
    assert mistakes(FIRST + "store: s3://ml/store\n")[0].startswith("The store s3://ml/store is remote")
    assert parse(FIRST + "store: s3://ml/store\ntracking: http://m:5000\n").store == "s3://ml/store"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "absent.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=f"Could not read the spec {path}: "):
        load_spec(path)


def test_a_model_section_without_a_type_is_an_mlp() -> None:
    assert parse(FIRST + "model: {hidden: [4]}").model == MlpSpec(hidden=(4,))


def test_a_threshold_makes_no_regression() -> None:
    text = FIRST.replace("classification, target: late", "regression, target: {column: delay, at_least: 3}")
    assert mistakes(text) == [
        "f.yaml:2: task.target: a threshold (at_least) makes two classes; use type: classification."
    ]


def test_a_cadence_is_seconds_or_steps() -> None:
    assert parse(FIRST + "train: {checkpoint_every: 90s}").train.checkpoint_every_s == 90.0
    by_steps = parse(FIRST + "train: {checkpoint_every: 500}").train
    assert (by_steps.checkpoint_every_steps, by_steps.checkpoint_every_s) == (500, None)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("train: {optimizer: {lr: .inf}}", "train.optimizer.lr"),
        ("train: {gradient_clip: .nan}", "train.gradient_clip"),
        ("evaluate: {gate: {min_gain: .nan}}", "evaluate.gate.min_gain"),
        ("serve: {cpus: .inf}", "serve.cpus"),
    ],
)
def test_a_number_is_finite(lines: str, key: str) -> None:
    (line,) = mistakes(FIRST + lines)
    assert line.startswith(f"f.yaml:5: {key} should be a finite number, found ")


def test_a_threshold_is_finite() -> None:
    (line,) = mistakes(FIRST, "task.target={column: delay, at_least: .nan}")
    assert "task.target.at_least should be a finite number, found nan." in line


@pytest.mark.parametrize(
    "key",
    [
        "task.target.at_least",
        "data.split.seed",
        "data.split.train",
        "model.dropout",
        "train.epochs",
        "train.seed",
        "train.cpus_per_worker",
        "train.gpus_per_worker",
        "train.optimizer.lr",
        "train.early_stopping.patience",
        "evaluate.gate.min_gain",
        "serve.port",
        "serve.cpus",
        "serve.replicas.max",
    ],
)
def test_true_is_no_number(key: str) -> None:
    target = ["task.target.column=delay"] if key.startswith("task") else []
    (line,) = mistakes(FIRST, *target, f"{key}=true")
    assert line == f"override {key}=true: {key}: a number is wanted, found true."


def test_false_is_no_number_in_a_list_and_what_is_no_number_stays_as_it_is() -> None:
    (line,) = mistakes(FIRST + "model:\n  hidden: [8, false]")
    assert line == "f.yaml:6: model.hidden.1: a number is wanted, found false."
    text = FIRST + "model: {import: my.net, options: {wide: true}}"
    assert parse(text).model.options == {"wide": True}  # type: ignore[union-attr]


def test_a_checkpoint_cadence_is_more_than_no_time() -> None:
    for value in ("0s", "0.0s", "0", f"1{'0' * 400}s"):
        (line,) = mistakes(FIRST, f"train.checkpoint_every={value}")
        assert "write seconds as 60s or steps as 500" in line


def test_the_target_is_no_key_and_no_split_column() -> None:
    where = "override data"
    assert mistakes(FIRST, "data.key=[id, late]") == [
        f"{where}.key=[id, late]: data.key.1: 'late' is the target; a key is of other columns."
    ]
    for by in ("group", "time"):
        (line,) = mistakes(FIRST, f"data.split={{by: {by}, column: late}}")
        assert line.endswith("data.split.column: 'late' is the target; split by another column.")


def test_a_column_is_typed_or_ignored() -> None:
    assert mistakes(FIRST + "features:\n  ignore: [day]\n  day: {type: category}\n") == [
        "f.yaml:7: features.day: this column has a type and is in features.ignore too; keep one of them."
    ]


@pytest.mark.parametrize("key", ["store", "data.source", "tracking"])
def test_the_home_of_a_user_who_is_not_there_is_a_mistake(key: str) -> None:
    value = "~nobody-here/x.csv"
    (line,) = mistakes(FIRST, f"{key}={'sqlite:///' if key == 'tracking' else ''}{value}")
    assert line == f"The path {value} names the home folder of a user who is not on this machine."


def test_an_anchor_that_holds_itself_is_refused() -> None:
    with pytest.raises(SpecError, match="nested without an end"):
        parse_spec(
            "name: a\ntask: &a {type: classification, target: *a}\ndata: {source: a.csv}\n", "s.yaml", [], Path()
        )
