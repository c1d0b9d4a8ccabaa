"""What a discovery says: one sentence, what cannot be known, the table for a person, and the same as JSON."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_STABLE = 0.1  # of the adjusted Rand index; curves that are all alike, in white noise, reach .02
# Times the surrogate's index: with φ = .8 alike curves exceeded their surrogate by up to .24 where that was .17.
_NOISE = 3.0
_SHARPER = 1.2  # times: groups sharper than random ones by more than noise makes them
_SHARES_NOISE = 0.3  # φ from which neighbouring checkpoints are hardly two measurements


def counts(result: "xr.Dataset") -> dict[str, int]:
    """How many of the tested curves have each status."""
    words, n = np.unique(result["status"].values, return_counts=True)
    return dict(zip(words.tolist(), n.tolist(), strict=True))


def onset_range(result: "xr.Dataset") -> tuple[float, float] | None:
    """Steps between which the middle 80 % of the onsets lie."""
    onset = result["onset"].values[result["status"].values == "sharp"]
    if not onset.size:
        return None
    low, high = np.quantile(onset, [0.1, 0.9])
    return float(low), float(high)


def sentence(result: "xr.Dataset") -> str:
    """What was found, in one sentence (and one on the groups)."""
    n = counts(result)
    tested, sharp = n.get("sharp", 0) + n.get("smooth", 0), n.get("sharp", 0)
    text = (
        f"Of {result.sizes['example']:,} curves looked at, {tested:,} could be tested, and {sharp:,} of these are sharp"
    )
    if np.isnan(result["density"].values).all():
        text += ", no more than would be by error of the test"
    elif (window := onset_range(result)) is not None:
        text += f", with onsets at steps {window[0]:,.0f} to {window[1]:,.0f} (10 to 90 %)"
    return f"{text}. {_on_groups(result)}"


def _on_groups(result: "xr.Dataset") -> str:
    """What the most sharply grouped partition shows, beside chance and noise."""
    if "stability" not in result or result.sizes["n_groups"] < 2:
        return "Too few curves change to group them."
    groups = result.isel(n_groups=result["n_groups"].values > 1)
    stability, noise = groups["stability"].values, groups["stability_surrogate"].values
    at = int(np.argmax(stability - _NOISE * np.maximum(noise, 0)))
    best, gain = groups.isel(n_groups=at), stability[at] - noise[at]
    k = int(best["n_groups"])
    agree = f"two halves agree on {k} groups to {stability[at]:.2f} (noise alone: {noise[at]:.2f})"
    if gain < _STABLE:
        return f"No groups of like curves: {agree}."
    if stability[at] < _STABLE + _NOISE * noise[at]:
        return f"Whether there are groups of like curves cannot be told from lasting noise: {agree}."
    s = {kind: float(best["group_sharpness"].sel(kind=kind)) for kind in ("cluster", "random", "surrogate")}
    text = f"There are groups of like curves: {agree}"
    if not np.isfinite(s["cluster"]):
        return f"{text}; too few of them could be tested."
    beside = f"S = {s['cluster']:.2f} in the median, random groups {s['random']:.2f}, noise alone {s['surrogate']:.2f}"
    others = np.nanmax([s["random"], s["surrogate"], 0.0])
    return f"{text}; they are {'sharper than chance' if s['cluster'] > _SHARPER * others else 'no sharper than chance'}: {beside}."


def cannot(result: "xr.Dataset", step: np.ndarray) -> list[str]:
    """What these curves cannot tell, one line each."""
    n, total = counts(result), result.sizes["example"]
    times = float(result["n_times"])
    lines = [
        "labels: examples that are learned at the same time are one group here, whatever they have in common; groups of "
        "like timing are not subtasks"
        + (f", and at most about {times:.0f} times can be told apart in these curves." if times >= 2 else "."),
        "composition: the mean loss alone says nothing: sums of steps and of exponentials give the same curve.",
    ]
    unseen = {word: n.get(word, 0) for word in ("early", "incomplete", "unresolved", "never")}
    if any(unseen.values()):
        listed = ", ".join(f"{k / total:.0%} {word}" for word, k in unseen.items() if k)
        lines.append(
            f"the rest of the density: it is of the sharp curves only; {listed}: their onsets, if any, are not in it."
        )
    lines.append("smooth curves may be many small steps: a group that is not sharp can hide them.")
    phi = float(np.median(result["phi"].values))
    if result.attrs["split"] == "checkpoint" and phi > _SHARES_NOISE:
        lines.append(
            f"groups apart from noise: the noise lasts from one checkpoint to the next (φ = {phi:.2f}), so that the two halves "
            "share it; what exceeds the surrogate is real, the rest is not known. Two seeds would tell."
        )
    return lines


def summarise(result: "xr.Dataset") -> dict[str, Any]:
    """The discovery as one JSON object (nan as null)."""
    summary: dict[str, Any] = {name: result.attrs[name] for name in ("sentence", "cannot", "split")}
    summary |= {"n_curves": int(result["n_curves"]), "n_changed": int(result["n_changed"])}
    summary |= {
        "n_detected": result.sizes["example"],
        "status_counts": counts(result),
        "onset_10_90": onset_range(result),
    }
    tested = np.isin(result["status"].values, ("sharp", "smooth"))
    sharpness = result["sharpness"].values[tested]
    summary["sharpness_10_50_90"] = np.quantile(sharpness, [0.1, 0.5, 0.9]).tolist() if tested.any() else None
    summary["groups"] = [_row(result.isel(n_groups=i)) for i in range(result.sizes.get("n_groups", 0))]
    return summary


def _row(one: "xr.Dataset") -> dict[str, Any]:
    row: dict[str, Any] = {"n_groups": int(one["n_groups"])}
    row |= {name: _or_none(float(one[name])) for name in ("stability", "stability_surrogate") if name in one}
    for kind in one["kind"].values:
        part = one.sel(kind=kind)
        row[str(kind)] = {
            name: _or_none(float(part[name])) for name in ("group_sharpness", "n_tested", "n_sharp", "fraction_sharp")
        }
    return row


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _text(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def report(summary: dict[str, Any]) -> str:
    """Lines for a person."""
    lines = [summary["sentence"]]
    s = summary["sharpness_10_50_90"]
    if s:
        lines.append(
            "  single curves: S "
            + " / ".join(f"{v:.2f}" for v in s)
            + " (10 / 50 / 90 % of those that could be tested)"
        )
    if summary["groups"]:
        lines.append(
            f"  groups, found on one half ({summary['split']}s) and tested on the other: median S (sharp of tested)"
        )
        lines.append("     groups  stability (noise)   like curves          random groups        noise alone")
    for row in summary["groups"]:
        cells = [f"{_text(row[kind]['group_sharpness']):>5} ({row[kind]['n_sharp']:.0f} of {row[kind]['n_tested']:.0f})" for kind in ("cluster", "random", "surrogate")]  # fmt: skip
        if row["n_groups"] == 1:
            cells = cells[:1]
        agree = f"{_text(row.get('stability'))} ({_text(row.get('stability_surrogate'))})"
        lines.append(f"  {row['n_groups']:9d}  {agree:18}  " + "".join(f"{cell:21}" for cell in cells).rstrip())
    lines += ["  what cannot be known:", *(f"  · {line}" for line in summary["cannot"])]
    return "\n".join([*lines, f"figure: {summary['figure']}"])
