"""The cell error: a cell that is not what its column has to be, by its row, and by its file once that is known."""

from __future__ import annotations

from raymill.errors import DataError


class CellError(DataError):
    """A bad cell. `row` is counted from 0 and without a header, in the table at hand or, with a `file`, in that.

    What is said is `before`, the row and `after`; it travels by pickle.
    """

    def __init__(self, before: str, row: int, after: str, fix: str, file: str | None = None) -> None:
        of_file = "" if file is None else f" of {file}"
        super().__init__(f"{before} row {row}{of_file} (the first is 0){after}", fix)
        self.before, self.row, self.after, self.file = before, row, after, file

    def at(self, row: int, file: str | None = None) -> CellError:
        """The same cell by its row in another table, or in a file."""
        return CellError(self.before, row, self.after, self.fix, file)

    def __reduce__(self) -> tuple[type[CellError], tuple[str, int, str, str, str | None]]:  # type: ignore[override]
        return CellError, (self.before, self.row, self.after, self.fix, self.file)
