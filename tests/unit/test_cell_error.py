import pickle

from raymill.cell_error import CellError
from raymill.errors import DataError


def test_a_bad_cell_is_told_by_its_row_and_then_by_its_file_and_travels_by_pickle() -> None:
    error = CellError("Column 'a' is a number, but", 1_199, " holds 'x'.", "Correct it.")
    assert isinstance(error, DataError)
    assert error.what == "Column 'a' is a number, but row 1199 (the first is 0) holds 'x'."
    placed = pickle.loads(pickle.dumps(error.at(599, "2.csv")))
    assert str(placed) == "Column 'a' is a number, but row 599 of 2.csv (the first is 0) holds 'x'.\nCorrect it."
    assert (placed.row, placed.file) == (599, "2.csv")
