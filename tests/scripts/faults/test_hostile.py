"""The campaign of hostile names runs and finds nothing raw; and it finds what is."""

from scripts.faults.hostile import campaign, raw_in, table


def test_a_text_of_each_kind_stays_in_its_place(tmp_path):
    """Shown as data or refused, in every place; one with all kinds in it also in a saved model and by the verbs."""
    found = campaign(tmp_path / "outer", texts=1, seed=0, quick=True)
    assert [f"{tally.kind}, {line}" for tally in found for line in tally.raw] == []
    assert len(found) > 15
    assert sum(tally.places for tally in found) > 150
    assert "| all | " in table(found)


def test_what_gets_out_is_found():
    """By form: terminal, card, page, template."""
    assert "a terminal gets" in raw_in("terminal", "\x1b[31mmk1", "", "mk1")
    assert "a line of its own" in raw_in("terminal", "x\n# mk1", "", "mk1")
    assert raw_in("terminal", "x mk1\n", "", "mk1") is None
    front = "---\nlicense: apache-2.0\n---\n"
    assert "outside code" in raw_in("Markdown", f"{front}\n<b>mk1", "", "mk1")
    assert raw_in("Markdown", f"{front}\n`<b>mk1` and ``a`mk1``\n```bash\nmk1\n```\n", "", "mk1") is None
    assert "metadata" in raw_in("Markdown", "---\nlicense: mk1\n---\n", "", "mk1")
    assert "elements" in raw_in("HTML", "<p><b>mk1</b>", "", "mk1")
    assert "template engine" in raw_in("terminal", "mk149", "", "mk1")
