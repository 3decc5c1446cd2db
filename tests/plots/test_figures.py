"""Pictures: they show the numbers they were given, labels do not overlap, and matplotlib's state stays untouched."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from matplotlib.text import Annotation

from embedllm_hf import metrics, plots

BINS = [
    {"low": 0.0, "high": 0.2, "mean_probability": 0.1, "share_right": 0.15, "n_pairs": 40},
    {"low": 0.6, "high": 0.8, "mean_probability": 0.7, "share_right": 0.65, "n_pairs": 60},
]


def make_pool(n_llms: int, *, organisations: int = 3, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Random vectors, and names whose organisations differ in size: the first is the largest."""
    names = [f"lab{min(index % (organisations + 2), organisations - 1)}/llm-{index}" for index in range(n_llms)]
    return np.random.default_rng(seed).normal(size=(n_llms, 5)), names


def labels_of(figure) -> dict[str, Annotation]:
    return {text.get_text(): text for text in figure.axes[0].texts if isinstance(text, Annotation)}


def test_reliability_shows_the_bins():
    """The curve goes through (mean probability, share right), and the bars are the bins' pairs."""
    curve, counts = plots.reliability_figure(BINS).axes
    line = next(line for line in curve.lines if line.get_label() == "EmbedLLM")
    np.testing.assert_array_equal(line.get_xydata(), [[0.1, 0.15], [0.7, 0.65]])
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in counts.patches]
    np.testing.assert_allclose(bars, [(0.0, 0.2, 40), (0.6, 0.2, 60)])
    assert curve.get_xlim() == curve.get_ylim() == (0, 1)


def test_reliability_takes_what_the_metric_gives():
    """The fields of `ReliabilityBin` are those that the picture reads."""
    bins = metrics.reliability_bins(np.array([[0.05, 0.95]]), np.array([[0.0, 1.0]]))
    assert len(plots.reliability_figure([vars(item) for item in bins]).axes[1].patches) == 2


def test_reliability_of_nothing_is_refused():
    """Without bins there is no picture."""
    with pytest.raises(ValueError, match="`bins` is empty"):
        plots.reliability_figure([])


def test_principal_plane_against_an_eigendecomposition():
    """Coordinates and shares of variance equal those of the covariance's eigenvectors, up to the sign."""
    vectors = np.random.default_rng(1).normal(size=(20, 6)) * np.array([5, 3, 1, 1, 0.5, 0.1])
    points, explained = plots.principal_plane(vectors)
    values, directions = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(axis=0)) @ directions[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(explained, values[[-1, -2]] / values.sum())


def test_principal_plane_does_not_flip():
    """The vector farthest out is on the positive side, so vectors turned or mirrored give the same points."""
    generator = np.random.default_rng(2)
    vectors = generator.normal(size=(10, 4))
    points, _ = plots.principal_plane(vectors)
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()
    turned = vectors @ np.linalg.qr(generator.normal(size=(4, 4)))[0]
    for other in (-vectors, turned, -turned, vectors + 3):
        np.testing.assert_allclose(plots.principal_plane(other)[0], points, atol=1e-9)


def test_principal_plane_of_little():
    """One dimension leaves the second axis empty; equal vectors lie at zero and share no variance."""
    assert not np.concatenate([part.ravel() for part in plots.principal_plane(np.ones((4, 3)))]).any()
    flat, explained = plots.principal_plane(np.arange(5.0)[:, None])
    np.testing.assert_allclose(explained, [1, 0])
    assert not flat[:, 1].any()


def test_the_map_names_every_llm_if_there_is_room():
    """Six LLMs far apart are all labelled by what stands after the organisation; axes tell their share of variance."""
    vectors = np.array([[0, 0], [4, 0], [0, 2], [4, 2], [2, 3], [2, -3.0]])
    names = ["a/one", "a/two", "b/three", "b/four", "five", "six"]
    figure = plots.llm_map_figure(vectors, names)
    assert set(labels_of(figure)) == {"one", "two", "three", "four", "five", "six"}
    assert not figure.texts
    _, explained = plots.principal_plane(vectors)
    axes = figure.axes[0]
    assert f"{explained[0]:.0%} of the variance" in axes.get_xlabel()
    assert f"{explained[1]:.0%} of the variance" in axes.get_ylabel()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a (2)", "b (2)", "others (2)"]


def test_labels_cover_neither_each_other_nor_a_point():
    """In a crowd no two labels overlap, none hides an LLM, and those left out are counted."""
    vectors, names = make_pool(150)
    figure = plots.llm_map_figure(vectors, names)
    labels, axes = labels_of(figure), figure.axes[0]
    assert 20 < len(labels) < 150
    assert f"{150 - len(labels)} of 150 LLMs" in figure.texts[0].get_text()
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels.values()]
    assert not any(first.overlaps(second) for row, first in enumerate(boxes) for second in boxes[:row])
    points, _ = plots.principal_plane(vectors)
    at = axes.transData.transform(points)
    assert not any(box.contains(x, y) for box in boxes for x, y in at)


def test_colours_go_to_the_largest_organisations():
    """With twelve organisations seven have colours, one each, and everything else is grey and named so."""
    names = [f"lab{lab:02}/llm-{index}" for lab in range(12) for index in range(13 - lab)]
    figure = plots.llm_map_figure(np.random.default_rng(0).normal(size=(len(names), 3)), names)
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    n_grey = sum(13 - lab for lab in range(7, 12))
    assert shown == [*[f"lab{lab:02} ({13 - lab})" for lab in range(7)], f"others ({n_grey})"]
    colours = {tuple(drawn.get_facecolor()[0]) for drawn in figure.axes[0].collections}
    assert len(colours) == 8
    assert sum(len(drawn.get_offsets()) for drawn in figure.axes[0].collections) == len(names)


def test_strange_names_are_drawn_as_they_are():
    """A `$` starts no formula, and of a very long name both ends are kept."""
    vectors, _ = make_pool(3)
    figure = plots.llm_map_figure(vectors, ["lab/$x_$", "lab/" + "a" * 40 + "-v2", "lab/plain"])
    shown = labels_of(figure)
    assert "$x_$" in shown
    cut = next(label for label in shown if "…" in label)
    assert cut.startswith("aaa")
    assert cut.endswith("-v2")
    assert len(cut) <= 32
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("vectors", "names", "message"),
    [
        (np.zeros((2, 4)), ["a", "b"], "has 2 names, expected at least 3"),
        (np.zeros((3, 4)), ["a", "b"], "`llm_embeds` has 3 rows, but `llm_names` 2"),
    ],
)
def test_a_map_of_too_little_is_refused(vectors, names, message):
    """Two LLMs are no map, and each vector needs a name."""
    with pytest.raises(ValueError, match=message):
        plots.llm_map_figure(vectors, names)


def test_pictures_are_the_same_each_time(tmp_path):
    """The same values give the same bytes, which name the matplotlib that drew them."""
    from PIL import Image

    for name in ("one", "two"):
        plots.save_png(plots.llm_map_figure(*make_pool(12)), tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.text["Software"].startswith("matplotlib ")
        assert image.size == (1000, 720)


@pytest.mark.parametrize("name", ["curves", "new/curves.jpg"])
def test_pictures_are_png_whatever_their_name(tmp_path, name):
    """A name without an ending, or with another one, in a folder that is not there yet."""
    from PIL import Image

    plots.save_png(plots.llm_map_figure(*make_pool(3)), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == "PNG"


def test_drawing_leaves_matplotlib_alone():
    """No pyplot, no change of style, and no matplotlib at all before something is drawn."""
    code = (
        "import sys; from embedllm_hf import plots; assert 'matplotlib' not in sys.modules\n"
        f"plots.reliability_figure({BINS!r})\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
        "import matplotlib; fresh = matplotlib.rc_params()\n"
        "print(all(matplotlib.rcParams[name] == fresh[name] for name in fresh if name != 'backend'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["False", "True"]


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    """The extra `plot` is named."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "embedllm_hf\[plot\]"'):
        plots.reliability_figure(BINS)


def test_a_map_of_many_llms_takes_bounded_work():
    """20,000 LLMs in seconds and without n squared memory: the labels farthest from others, the rest counted."""
    vectors = np.random.default_rng(0).normal(size=(20_000, 4))
    tracemalloc.start()
    figure = plots.llm_map_figure(vectors, [f"_lab{number % 9}/$llm-{number}\x1b" for number in range(20_000)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
    (axes,) = figure.axes
    assert 0 < len(axes.texts) <= 300
    assert all("\x1b" not in text.get_text() for text in axes.texts)
    assert "of 20,000 LLMs" in figure.texts[0].get_text()
    assert axes.get_legend().get_texts()[0].get_text().startswith("_lab")


def test_many_benchmarks_make_no_endless_picture():
    """30 panels, the last of them all questions; how many are missing is said."""
    part = {"n_questions": 5, "llms": {"a": {"cost": 1.0, "quality": 0.5}, "b": {"cost": 2.0, "quality": 0.7}}}
    part["curves"] = {"embedllm": {"cost": [1.0, 2.0], "quality": [0.5, 0.7]}}
    figure = plots.cost_quality_figure({**{f"b$_{number}": part for number in range(3000)}, "all": part})
    assert len(figure.axes) == 30
    assert figure.axes[-1].get_title().startswith("all")
    assert any("2,971 more benchmarks" in text.get_text() for text in figure.texts)
