"""Running the command line in a test, and what it says to bad input."""

from embedllm_hf.cli import main


def run(capsys, *argv: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command line."""
    capsys.readouterr()
    try:
        code = main([str(argument) for argument in argv])
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(result: tuple[int, str, str], *parts: str) -> None:
    """Assert exit code 2, no output, and one line that holds all of `parts`."""
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err
