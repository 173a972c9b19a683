from raymill.checkpoint_name import is_whole, name_of, step_in


def test_a_name_tells_the_step_and_vouches_for_the_content() -> None:
    name = f"runs/r/checkpoints/{name_of(42, b'weights')}"
    assert step_in(name) == 42
    assert is_whole(name, b"weights") and not is_whole(name, b"weight")


def test_names_sort_as_their_steps_do() -> None:
    names = [name_of(step, bytes([step % 7])) for step in (5, 10, 999, 1000)]
    assert sorted(names) == names


def test_other_files_are_no_checkpoints() -> None:
    for path in ("bundle/weights.safetensors", "step-1.safetensors", f"{name_of(1, b'x')}.partial"):
        assert step_in(path) is None and not is_whole(path, b"x")
