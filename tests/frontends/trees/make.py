"""Write small forests as files, and `answers.npz` with inputs and the margins that their own libraries predict.

    python -m venv trees
    trees/bin/pip install numpy scipy lightgbm==4.7.0
    trees/bin/pip install --no-deps xgboost==3.2.0
    trees/bin/python make.py

XGBoost goes in without its dependencies, one of which is several hundred megabytes of GPU library. Older files:

    trees/bin/pip install --no-deps --target xgb-1.7.6 xgboost==1.7.6    # and 2.1.4
    PYTHONPATH=xgb-1.7.6 trees/bin/python make.py old
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xgboost as xgb

HERE = Path(__file__).parent
ANSWERS = HERE / "answers.npz"
ROWS = 80


def data(categories: bool = False) -> tuple[np.ndarray, np.random.Generator]:
    """Inputs on a grid of 1/8, so that some stand on thresholds; column 3 may hold categories."""
    rng = np.random.default_rng(7)
    x = rng.integers(-24, 25, (400, 4)) / 8
    if categories:
        x[:, 3] = rng.integers(0, 9, 400)
    return x, rng


def labels(x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    score = x[:, 0] - x[:, 1] * (x[:, 2] > 0.25) + 0.6 * (x[:, 3] % 3 > 1) + rng.normal(0, 0.4, len(x))
    return {
        "score": score,
        "binary": score > 0.3,
        "class": np.digitize(score, (-1, 1)),
        "count": rng.poisson(np.exp(score / 4)),
    }


def boosted(
    name: str, y: np.ndarray, x: np.ndarray, rounds: int = 5, suffix: str = ".json", **settings: object
) -> np.ndarray:
    types = settings.pop("feature_types", None)
    matrix = xgb.DMatrix(x, y, feature_types=types, enable_categorical=types is not None)
    if str(settings.get("objective", "")).startswith("rank"):
        matrix.set_group([len(x) // 2, len(x) - len(x) // 2])
    booster = xgb.train({"max_depth": 3, "seed": 1, "nthread": 1, **settings}, matrix, rounds)
    booster.save_model(HERE / f"{name}{suffix}")
    again = xgb.DMatrix(x[:ROWS], feature_types=types, enable_categorical=types is not None)
    return booster.predict(again, output_margin=True)


def xgboost_models() -> dict[str, np.ndarray]:
    x, rng = data()
    y = labels(x, rng)
    three = {"num_class": 3, "rounds": 3}
    two_levels = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8], "rounds": 2}
    parallel = {"num_parallel_tree": 3, "subsample": 0.6, "base_score": 0.3, "rounds": 2}
    squares = {"objective": "reg:squarederror"}
    found = {
        "xgb_regression": boosted("xgb_regression", y["score"], x, **squares),
        "xgb_binary": boosted("xgb_binary", y["binary"], x, objective="binary:logistic", suffix=".ubj"),
        "xgb_raw": boosted("xgb_raw", y["binary"], x, objective="binary:logitraw"),
        "xgb_softprob": boosted("xgb_softprob", y["class"], x, objective="multi:softprob", **three),
        "xgb_softmax": boosted("xgb_softmax", y["class"], x, objective="multi:softmax", suffix=".ubj", **three),
        "xgb_poisson": boosted("xgb_poisson", y["count"], x, objective="count:poisson"),
        "xgb_rank": boosted("xgb_rank", y["class"], x, objective="rank:pairwise"),
        "xgb_quantile": boosted("xgb_quantile", y["score"], x, **two_levels),
        "xgb_dart": boosted("xgb_dart", y["score"], x, rounds=8, booster="dart", rate_drop=0.3, **squares),
        "xgb_parallel": boosted("xgb_parallel", y["binary"], x, objective="binary:logistic", **parallel),
        "xgb_exact": boosted("xgb_exact", y["score"], x, tree_method="exact", max_leaves=7, **squares),
    }
    x, rng = data(categories=True)
    y = labels(x, rng)
    kinds = ["q", "q", "q", "c"]
    for name, onehot in (("xgb_categories", 1), ("xgb_onehot", 99)):
        found[name] = boosted(
            name, y["score"], x, feature_types=kinds, max_cat_to_onehot=onehot, objective="reg:squarederror"
        )
    for name, settings in (
        ("refused_vector_leaves", {"multi_strategy": "multi_output_tree"}),
        ("refused_linear", {"booster": "gblinear"}),
    ):
        many = np.stack([y["score"], -y["score"]], axis=1) if "vector" in name else y["score"]
        boosted(name, many, x, rounds=1, objective="reg:squarederror", **settings)
    return found


def lightgbm_models() -> dict[str, np.ndarray]:
    import lightgbm as lgb

    def grown(
        name: str,
        x: np.ndarray,
        y: np.ndarray,
        rounds: int = 5,
        categories: list[int] | None = None,
        **settings: object,
    ) -> np.ndarray:
        base = {
            "num_leaves": 9,
            "min_data_in_leaf": 5,
            "verbose": -1,
            "num_threads": 1,
            "seed": 1,
            "deterministic": True,
        }
        kinds = "auto" if categories is None else categories
        booster = lgb.train({**base, **settings}, lgb.Dataset(x, y, categorical_feature=kinds), rounds)
        text = booster.model_to_string()
        # What stands behind the trees is no part of the model.
        (HERE / f"{name}.txt").write_text(text[: text.index("end of trees")] + "end of trees\n")
        # An average is taken by `predict` alone.
        return booster.predict(x[:ROWS], raw_score=settings.get("boosting") != "rf")

    x, rng = data()
    y = labels(x, rng)
    found = {
        "lgb_regression": grown("lgb_regression", x, y["score"], objective="regression"),
        "lgb_binary": grown("lgb_binary", x, y["binary"], objective="binary"),
        "lgb_classes": grown("lgb_classes", x, y["class"], rounds=3, objective="multiclass", num_class=3),
        "lgb_ova": grown("lgb_ova", x, y["class"], rounds=2, objective="multiclassova", num_class=3, sigmoid=2.0),
        "lgb_poisson": grown("lgb_poisson", x, y["count"], objective="poisson"),
        "lgb_forest": grown(
            "lgb_forest", x, y["score"], boosting="rf", bagging_freq=1, bagging_fraction=0.5, objective="regression"
        ),
        "lgb_dart": grown("lgb_dart", x, y["score"], boosting="dart", objective="regression"),
        "lgb_zero": grown("lgb_zero", x, y["score"], zero_as_missing=True, objective="regression"),
    }
    x, rng = data(categories=True)
    y = labels(x, rng)
    few = {"cat_smooth": 1, "min_data_per_group": 5, "cat_l2": 1}
    found["lgb_categories"] = grown("lgb_categories", x, y["score"], categories=[3], max_cat_to_onehot=2, **few)
    grown("refused_linear_leaves", x, y["score"], rounds=1, linear_tree=True)
    return found


def old_models() -> dict[str, np.ndarray]:
    major = xgb.__version__.split(".")[0]
    x, rng = data()
    y = labels(x, rng)
    name = f"xgb_{major}"
    return {
        f"{name}_binary": boosted(f"{name}_binary", y["binary"], x, objective="binary:logistic"),
        f"{name}_classes": boosted(
            f"{name}_classes", y["class"], x, rounds=2, objective="multi:softprob", num_class=3, suffix=".ubj"
        ),
        f"{name}_wrapped": boosted(
            f"{name}_wrapped",
            y["score"],
            x,
            rounds=2,
            objective="reg:squarederror",
            suffix=".model" if major == "2" else ".json",
        ),
    }


if __name__ == "__main__":
    answers = dict(np.load(ANSWERS)) if ANSWERS.exists() else {}
    answers["x"], answers["x_categories"] = data()[0][:ROWS], data(categories=True)[0][:ROWS]
    answers |= old_models() if sys.argv[1:] == ["old"] else xgboost_models() | lightgbm_models()
    np.savez_compressed(ANSWERS, **answers)
