"""The campaign of damaged files runs and finds nothing lost; and it finds a loss where there is one."""

from scripts.faults.bad_files import Kind, campaign, main, table, try_kind


def test_a_few_damaged_files_of_each_kind(tmp_path):
    """Each is refused in one line, or read as it was, or is a text of the user's own."""
    found = list(campaign(tmp_path, trials=6, seed=3))
    assert len(found) > 25
    assert sum(tally.files for tally in found) > 150
    assert [line for tally in found for line in tally.lost] == []
    assert sum(tally.refused for tally in found) > 100
    assert "| all | " in table(found)


def test_a_reader_that_takes_anything_is_found(tmp_path):
    """Other content, another error, and an error of two lines are losses."""
    (tmp_path / "a").write_text("1")

    def number(folder):
        return str(int((folder / "a").read_text())).encode()

    found = try_kind(Kind("numbers", "a", number, whole=True), tmp_path, trials=50, seed=0)
    assert any("ValueError" in line for line in found.lost)
    found = try_kind(
        Kind("bytes", "a", lambda folder: (folder / "a").read_bytes(), whole=True), tmp_path, trials=5, seed=0
    )
    assert len(found.lost) == found.files > 0
    assert (tmp_path / "a").read_text() == "1"


def test_the_program_prints_its_table(capsys):
    """With the seed, for the kinds that are asked for."""
    assert main(["--trials", "3", "--kinds", "answers", "--seed", "2"]) == 0
    shown = capsys.readouterr().out
    assert "| answers.csv | 3 | " in shown
    assert "seed 2" in shown
