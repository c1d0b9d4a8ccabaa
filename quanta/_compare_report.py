"""What a comparison says: one sentence, and a table of models ranked by what they predicted unseen."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

NULLS = ("exponential", "power_law", "stretched", "convex_adam", "synchronous", "permuted onsets")
CAUTION = (
    "These scores decide when subtasks are learned, hardly how sharply: that a sum fits does not show that its "
    "pieces are steps. quanta.composition tests that, against controls."
)
_COLUMNS = {
    "error": ("error of mean loss", ".1%"),
    "q2_macro": ("Q² mean loss", ".3f"),
    "q2_curves": ("Q² curves", ".3f"),
    "onset_error": ("|Δ ln onset|", ".2f"),
}


def headline(result: "xr.Dataset") -> str:
    """How well the best model does, beside the permuted null."""
    row, null = result.sel(model=result.attrs["best"]), result.sel(model="permuted onsets")
    low, high = 100 * float(row["error_low"]), 100 * float(row["error_high"])
    return (
        f"The summed sequence of {result.attrs['best']} follows the real mean loss within {100 * float(row['error']):.1f} % "
        f"of its drop (95 % interval {low:.1f}–{high:.1f} %), Q² = {float(row['q2_macro']):.3f}, in subtasks that it was not "
        f"calibrated on; with its onsets permuted, within {100 * float(null['error']):.1f} %, Q² = {float(null['q2_macro']):.3f}."
    )


def sentence(result: "xr.Dataset") -> str:
    """The headline, whether frequencies order the run, and what cannot be told from the best model."""
    pairs = zip(map(str, result["model"].values), result["told_apart"].values, strict=True)
    alike = [name for name, apart in pairs if not apart and name != result.attrs["best"]]
    p, gamma = result.attrs["permutation_p"], result.attrs["timing_exponent"]
    order = "order" if p <= 0.05 else "do not order"
    told = (
        f"cannot be told apart from it (their intervals overlap): {', '.join(alike)}"
        if alike
        else "all others do worse"
    )
    return (
        f"{result.attrs['headline']} By the Q² of single curves, frequencies {order} the subtasks (permutation p = {p:.2f}; "
        f"timing exponent of the run {gamma:.2f}, of {result.attrs['best']} "
        f"{float(result['gamma'].sel(model=result.attrs['best'])):.2f}). By the mean loss, {told}."
    )


def summarise(result: "xr.Dataset") -> dict[str, Any]:
    """The result as one JSON object: the sentence, and for each model its scores (nan as null)."""
    models = []
    for name in map(str, result["model"].values):
        row = result.sel(model=name)
        shapes = dict.fromkeys(str(s) for s in row["shape"].values if str(s))
        scores = {key: _or_none(row[key].values) for score in _COLUMNS
                  for key in (score, f"{score}_low", f"{score}_high", f"{score}_split")}  # fmt: skip
        models.append(
            {
                "model": name,
                "null": name in NULLS,
                "shapes": list(shapes),
                "told_apart": bool(row["told_apart"]),
                "gamma": float(row["gamma"]),
                "time_scale_split": _or_none(row["time_scale"].values),
                "floor_split": _or_none(row["floor"].values),
                **scores,
            }
        )
    words = {key: result.attrs[key] for key in ("best", "headline", "sentence", "caution", "permutation_p", "left_out")}
    numbers = {key: int(result.attrs[key]) for key in ("n_subtasks", "n_learned")}
    numbers["timing_exponent"] = _or_none(np.asarray(result.attrs["timing_exponent"]))
    return {**words, **numbers, "splits": [str(s) for s in result["split"].values], "models": models}


def table(summary: dict[str, Any]) -> str:
    """Lines for a person."""
    heads = ["model", "shape", *(head for head, _ in _COLUMNS.values())]
    rows = [heads]
    for one in summary["models"]:
        name = f"{one['model']} (null)" if one["null"] else str(one["model"])
        shape = f"of {summary['best']}" if one["model"] == "permuted onsets" else _range(one["shapes"])
        rows.append([name, shape, *(_cell(one, score, form) for score, (_, form) in _COLUMNS.items())])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    held = [s for s in summary["splits"] if s not in summary["left_out"]]
    lines.append(
        f"Held-out scores, best first, averaged over the halves {', '.join(held)}; [95 % bootstrap over subtasks; of the "
        "permuted null, over permutations]."
    )
    if summary["left_out"]:
        lines.append(
            f"Left out: {', '.join(summary['left_out'])} (too few learned subtasks in the first to set a clock)."
        )
    return "\n".join([*lines, "", summary["sentence"], summary["caution"], f"figure: {summary['figure']}"])


def _cell(one: dict[str, Any], score: str, form: str) -> str:
    value, low, high = (one[key] for key in (score, f"{score}_low", f"{score}_high"))
    if value is None:
        return "-"
    return (
        f"{value:{form}} [{'-' if low is None else format(low, form)}, {'-' if high is None else format(high, form)}]"
    )


def _range(shapes: list[str]) -> str:
    """Like "initial=0.001 to 0.02": the shapes that the halves chose."""
    if not shapes:
        return ""
    name = shapes[0].partition("=")[0]
    values = sorted(float(shape.partition("=")[2]) for shape in shapes)
    return f"{name}={values[0]:g}" + (f" to {values[-1]:g}" if len(values) > 1 else "")


def _or_none(values: np.ndarray) -> Any:
    """Numbers as JSON has them."""
    if values.ndim == 0:
        return float(values) if np.isfinite(values) else None
    return [_or_none(np.asarray(value)) for value in values]
