"""The drift history drawn: open findings over time by severity, and under them when was looked.

Drawn as SVG on paper of its own, so that it can be read on light and on dark pages alike; the same report gives the
same bytes.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from infra.drift.findings import PlaneState, Severity
from infra.drift.report import DriftReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PAPER = "#3d4450", "#fbfbfc"
COLOURS = {
    Severity.DESTRUCTIVE: "#d62f4b",
    Severity.SECURITY: "#ee8a1d",
    Severity.CONFIG: "#2f86d1",
    Severity.COSMETIC: "#9cc3e0",
}
MARKS = {PlaneState.IN_STEP: "#2f9e5f", PlaneState.UNKNOWN: "#8a909a", PlaneState.DRIFTED: "#d62f4b"}
"""One lane each, from below, so that they can be told apart without colours."""
FORMATS = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
"""Of ticks at years, months, days, hours, minutes and seconds."""
ZEROS = ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
"""Of those at which the next greater unit begins: midnight is a new day."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "plumbline",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def svg(report: DriftReport) -> str:
    """The chart as an SVG document."""
    # Half a second and 60 MB that only those who draw shall pay for.
    from matplotlib import style  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    # Whatever the machine's own matplotlibrc says.
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(9, 4), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        _levels(above, report)
        _marks(below, report)
        figure.align_ylabels([above, below])
        figure.suptitle(_title(report), x=0.015, ha="left", fontsize=11, fontweight="bold")
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", facecolor=PAPER, metadata={"Date": None, "Creator": "Plumbline"})
    return drawn.getvalue()


def _title(report: DriftReport) -> str:
    of = report.environment or "all environments"
    return f"Open drift of {of}, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"


def _levels(axes: Axes, report: DriftReport) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    # Each level lasts until the next one begins, the last until the report's end.
    times: list[Any] = [*(level.at for level in report.history), report.until]
    bottom = [0] * len(times)
    for severity, colour in COLOURS.items():
        open_then = [level.open.get(severity, 0) for level in report.history]
        top = [low + count for low, count in zip(bottom, [*open_then, open_then[-1]], strict=True)]
        if any(open_then):
            axes.fill_between(times, bottom, top, step="post", color=colour, linewidth=0, label=severity)
        bottom = top
    axes.plot(times, bottom, drawstyle="steps-post", color=INK, linewidth=1)
    axes.set_ylim(0, max(1.0, max(bottom) * 1.15))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_ylabel("open findings")
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    if any(bottom):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0)
    else:
        said = "no open findings" if report.marks else "nobody looked"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", fontsize=12)


def _marks(axes: Axes, report: DriftReport) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    for lane, (state, colour) in enumerate(MARKS.items()):
        times: list[Any] = [mark.at for mark in report.marks if mark.state is state]
        axes.plot(times, [lane] * len(times), linestyle="", marker="|", color=colour, markersize=7, markeredgewidth=1.2)
    axes.set_ylim(-0.7, len(MARKS) - 0.3)
    axes.set_yticks(range(len(MARKS)), list(MARKS), fontsize=8)
    axes.set_ylabel("checks")
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    begin, end = _padded(_begin(report), report.until)
    axes.set_xlim(begin, end)
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator, tz=UTC, formats=FORMATS, zero_formats=ZEROS, show_offset=False)  # type: ignore[no-untyped-call]
    )
    axes.set_xlabel("time (UTC)")


def _begin(report: DriftReport) -> datetime:
    """Where the picture begins: before the first check nobody knows what was open."""
    if not report.marks or any(report.history[0].open.values()):
        return report.since
    first = min(mark.at for mark in report.marks)
    return max(report.since, min(first, report.until - timedelta(hours=1)))


def _padded(since: datetime, until: datetime) -> tuple[Any, Any]:
    room = max((until - since) * 0.01, timedelta(seconds=1))
    return since - room, until + room
