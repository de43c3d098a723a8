"""Forests of XGBoost, LightGBM and scikit-learn against what their own libraries predict, and in integers."""

from __future__ import annotations

import contextlib
import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.forests import with_transform
from hardwire.frontends import load
from hardwire.frontends._trees import forest_network
from hardwire.network.inspect import layer_rows
from hardwire.network.reference import forward

HERE = Path(__file__).parent / "trees"
ANSWERS = dict(np.load(HERE / "answers.npz"))
FILES = {path.stem: path for path in sorted(HERE.iterdir()) if path.stem in ANSWERS}
CATEGORIES = {"xgb_categories", "xgb_onehot", "lgb_categories"}


def inputs(name: str) -> np.ndarray:
    return ANSWERS["x_categories" if name in CATEGORIES else "x"]


def test_every_answer_has_a_file():
    assert set(FILES) == set(ANSWERS) - {"x", "x_categories"}
    assert len(FILES) > 20


@pytest.mark.parametrize("name", FILES)
def test_files_against_their_library(name):
    expected = ANSWERS[name].reshape(80, -1)
    network = load(FILES[name])
    (found,) = forward(network, [inputs(name)])
    # XGBoost sums in float32, LightGBM in float64.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 if name.startswith("xgb") else 1e-12)
    assert np.ptp(found) > 0.05


@pytest.mark.parametrize(
    "name", ["xgb_binary", "xgb_softprob", "xgb_categories", "lgb_zero", "lgb_categories", "lgb_forest"]
)
def test_exact_integers(name):
    if name.startswith("lgb"):  # leaves of float64: more than 62 bits as they stand
        network = load(FILES[name])
        (node,) = network.nodes
        params = {**node.params, "leaves": node.params["leaves"].astype(np.float32).astype(np.float64)}
        network = network.with_(nodes=(node.with_(params=params),))
    else:
        network = load(FILES[name])
    x = inputs(name)
    design = hw.compile(network, exact=True, input_type="s9.3", backend="emulator")
    (expected,) = forward(network, [x])
    np.testing.assert_allclose(design.predict(x), expected, rtol=0, atol=1e-12)


def test_calibrated():
    x = inputs("xgb_softprob")
    design = hw.compile(FILES["xgb_softprob"], calibrate=x, fidelity=0.99, backend="emulator")
    expected = ANSWERS["xgb_softprob"]
    share = 1 - np.sum((design.predict(x) - expected) ** 2) / np.sum((expected - expected.mean(axis=0)) ** 2)
    assert share >= 0.99


def test_source_says_what_predict_does_besides():
    found = {name: load(path).source["transform"] for name, path in FILES.items()}
    assert found["xgb_binary"] == "sigmoid"
    assert found["xgb_softmax"] == "argmax"
    assert found["xgb_raw"] == found["lgb_regression"] == "none"
    assert found["lgb_classes"] == "softmax"
    assert found["lgb_poisson"] == found["xgb_poisson"] == "exp"
    assert load(FILES["lgb_ova"]).source["transform_slope"] == "2"


def edited(name: str, folder: Path, change) -> Path:
    document = json.loads(FILES[name].read_text())
    change(document["learner"])
    path = folder / "model.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def test_a_missing_base_score_is_half_where_it_cannot_matter(tmp_path):
    def gone(learner):
        learner["learner_model_param"]["base_score"] = "NaN"

    (found,) = forward(load(edited("xgb_rank", tmp_path, gone)), [inputs("xgb_rank")])
    difference = found[:, 0] - ANSWERS["xgb_rank"]
    assert np.ptp(difference) < 1e-6
    with pytest.raises(ModelError, match=r"'base_score' is NaN.*\n.*set base_score"):
        load(edited("xgb_regression", tmp_path, gone))


@pytest.mark.parametrize("stated", [0.25, "2.5E-1", "[2.5E-1]", [0.25]])
def test_base_scores_as_numbers_and_texts(stated, tmp_path):
    path = edited("xgb_regression", tmp_path, lambda learner: learner["learner_model_param"].update(base_score=stated))
    (found,) = forward(load(path), [inputs("xgb_regression")])
    (other,) = forward(load(FILES["xgb_regression"]), [inputs("xgb_regression")])
    base = json.loads(FILES["xgb_regression"].read_text())["learner"]["learner_model_param"]["base_score"]
    np.testing.assert_allclose(found - other, 0.25 - float(base.strip("[]")), atol=1e-6)


def first_tree(learner):
    return learner["gradient_booster"]["model"]["trees"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: first_tree(m).update(left_children=[0] * 15, right_children=[0] * 15), "met twice"),
        (lambda m: first_tree(m).update(left_children=[99] * 15), "child 99|15 entries|entries, expected"),
        (lambda m: first_tree(m)["split_indices"].__setitem__(0, 17), "feature 17"),
        (lambda m: first_tree(m)["split_conditions"].__setitem__(0, float("nan")), "threshold of node 0 is NaN"),
        (lambda m: m["objective"].pop("name"), "'name' is missing"),
        (lambda m: m["learner_model_param"].update(num_feature="many"), "'num_feature' is 'many'"),
        (lambda m: m["learner_model_param"].update(base_score="high"), "'base_score' is 'high'"),
        (lambda m: m["gradient_booster"].update(name="forest"), "booster 'forest'"),
        (lambda m: m["gradient_booster"]["model"].update(tree_info=[5] * 5), "tree 0 belongs to output 5"),
    ],
)
def test_damaged_xgboost_documents_say_where(change, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        load(edited("xgb_regression", tmp_path, change))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("refused_vector_leaves.json", "multi_output_tree"),
        ("refused_linear.json", "'gblinear' has no trees"),
        ("refused_linear_leaves.txt", "linear_tree"),
    ],
)
def test_what_is_not_supported_is_named(name, message):
    with pytest.raises(UnsupportedError, match=message):
        load(HERE / name)


def test_old_binary_files_are_explained(tmp_path):
    path = tmp_path / "old.model"
    path.write_bytes(b"binf\x00\x00\x00\x3f" + bytes(100))
    with pytest.raises(ModelError, match=r"no longer reads.*\n.*save_model\('model.json'\)"):
        load(path)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".model", ".pickle"])
def test_pickles_are_refused_with_what_to_do(suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match=r"a pickle, which may run any code.*\n.*hw.compile\(model"):
        load(path)
    path = tmp_path / "packed.joblib"
    path.write_bytes(gzip.compress(b"x"))
    with pytest.raises(ModelError, match=r"a pickle \(compressed\)"):
        load(path)


@pytest.mark.parametrize("name", ["xgb_binary", "xgb_categories", "lgb_categories", "xgb_dart"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_raise_only_our_errors(name, data, tmp_path):
    raw = bytearray(FILES[name].read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / FILES[name].name
    path.write_bytes(bytes(raw))
    with contextlib.suppress(HardwireError):
        forward(load(path), [inputs(name)])


scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 99), st.floats(), st.text(max_size=3))
wrong = st.one_of(scalars, st.just({}), st.lists(scalars, max_size=4))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wrong_types_raise_only_our_errors(data, tmp_path):
    document = json.loads(FILES["xgb_categories"].read_text())
    here = document
    while True:
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or not here[key] or data.draw(st.integers(0, 5)) == 0:
            here[key] = data.draw(wrong)
            break
        here = here[key]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with contextlib.suppress(HardwireError):
        load(path)


# --- scikit-learn

sklearn_tree = pytest.importorskip("sklearn.tree")
sklearn_ensemble = pytest.importorskip("sklearn.ensemble")


def samples(seed: int = 0, rows: int = 300, features: int = 4):
    rng = np.random.default_rng(seed)
    x = rng.integers(-24, 25, (rows, features)) / 8
    score = x[:, 0] - x[:, 1] * (x[:, 2] > 0.25) + rng.normal(0, 0.3, rows)
    return x, score, np.digitize(score, (-1, 1)), (score > 0).astype(int)


LEARNERS = {
    "tree": lambda: sklearn_tree.DecisionTreeRegressor(max_depth=4),
    "extra": lambda: sklearn_tree.ExtraTreeRegressor(max_depth=3, random_state=1),
    "forest": lambda: sklearn_ensemble.RandomForestRegressor(5, max_depth=4, random_state=1),
    "extra forest": lambda: sklearn_ensemble.ExtraTreesRegressor(3, max_depth=4, random_state=1),
    "boosted": lambda: sklearn_ensemble.GradientBoostingRegressor(n_estimators=6, random_state=1),
    "boosted zero": lambda: sklearn_ensemble.GradientBoostingRegressor(n_estimators=3, init="zero"),
    "quantile": lambda: sklearn_ensemble.GradientBoostingRegressor(n_estimators=3, loss="quantile", alpha=0.7),
    "histograms": lambda: sklearn_ensemble.HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=7),
}
CLASSIFIERS = {
    "tree": (lambda: sklearn_tree.DecisionTreeClassifier(max_depth=3), "predict_proba"),
    "forest": (lambda: sklearn_ensemble.RandomForestClassifier(5, max_depth=4, random_state=1), "predict_proba"),
    "extra forest": (lambda: sklearn_ensemble.ExtraTreesClassifier(4, max_depth=4, random_state=1), "predict_proba"),
    "boosted": (lambda: sklearn_ensemble.GradientBoostingClassifier(n_estimators=4), "decision_function"),
    "histograms": (lambda: sklearn_ensemble.HistGradientBoostingClassifier(max_iter=4), "decision_function"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_scikit_learn_regressors(name):
    x, y, _, _ = samples()
    model = LEARNERS[name]().fit(x, y)
    (found,) = forward(load(model), [x])
    np.testing.assert_allclose(found[:, 0], model.predict(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scikit_learn_classifiers(name, binary):
    x, _, classes, halves = samples()
    make, method = CLASSIFIERS[name]
    model = make().fit(x, halves if binary else classes)
    (found,) = forward(load(model), [x])
    np.testing.assert_allclose(found, getattr(model, method)(x).reshape(len(x), -1), rtol=0, atol=1e-12)


def test_scikit_learn_several_outputs_and_isolation():
    x, y, classes, _ = samples()
    model = sklearn_ensemble.RandomForestRegressor(3, max_depth=3, random_state=0).fit(x, np.stack([y, -2 * y], axis=1))
    np.testing.assert_allclose(forward(load(model), [x])[0], model.predict(x), rtol=0, atol=1e-12)
    isolation = sklearn_ensemble.IsolationForest(n_estimators=4, max_samples=32, max_features=2, random_state=0).fit(x)
    (paths,) = forward(load(isolation), [x])
    np.testing.assert_allclose(-(2.0 ** -paths[:, 0]), isolation.score_samples(x), rtol=0, atol=1e-9)
    with pytest.raises(UnsupportedError, match="2 outputs"):
        load(sklearn_tree.DecisionTreeClassifier(max_depth=2).fit(x, np.stack([classes, classes], axis=1)))


def test_scikit_learn_categories():
    x, y, _, _ = samples()
    x[:, 3] = np.random.default_rng(3).integers(0, 7, len(x))
    model = sklearn_ensemble.HistGradientBoostingRegressor(max_iter=3, categorical_features=[3]).fit(
        x, y + (x[:, 3] % 3)
    )
    with pytest.raises(UnsupportedError, match="categorical features"):
        load(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sklearn_ensemble.AdaBoostRegressor(n_estimators=2), "AdaBoostRegressor: not a tree or forest"),
        (lambda: sklearn_ensemble.GradientBoostingRegressor(init=sklearn_tree.DecisionTreeRegressor()), "init=Dec"),
    ],
)
def test_scikit_learn_refusals(make, message):
    x, y, _, _ = samples()
    with pytest.raises(UnsupportedError, match=message):
        load(make().fit(x, y))
    with pytest.raises(ModelError, match="not fitted"):
        load(sklearn_tree.DecisionTreeRegressor())


def test_weights_are_refused():
    with pytest.raises(ModelError, match="weights= is not understood"):
        load(FILES["lgb_binary"], weights="x.h5")


def test_forest_network_is_named():
    network = load(FILES["lgb_binary"])
    assert network.inputs == ("x",)
    assert network.outputs == ("margin",)
    assert forest_network.__doc__


def test_the_transform_of_the_objective_can_be_put_behind_the_trees():
    x = inputs("xgb_binary")
    for name, check in (
        ("xgb_binary", lambda m: 1 / (1 + np.exp(-m))),
        ("lgb_ova", lambda m: 1 / (1 + np.exp(-2 * m))),
        ("xgb_poisson", np.exp),
        ("xgb_softprob", lambda m: np.exp(m) / np.exp(m).sum(axis=1, keepdims=True)),
        ("xgb_softmax", lambda m: m.argmax(axis=1)),
        ("xgb_raw", lambda m: m),
    ):
        (margin,) = forward(load(FILES[name]), [x])
        (found,) = forward(with_transform(load(FILES[name])), [x])
        np.testing.assert_allclose(found, check(margin), atol=1e-12)
    design = hw.compile(with_transform(load(FILES["xgb_binary"])), calibrate=x, fidelity=0.98, backend="emulator")
    expected = 1 / (1 + np.exp(-ANSWERS["xgb_binary"]))
    found = design.predict(x)[:, 0]
    assert 1 - np.sum((found - expected) ** 2) / np.sum((expected - expected.mean()) ** 2) >= 0.98
    with pytest.raises(UnsupportedError, match="'-2\\^-x' is no layer"):
        with_transform(load(sklearn_ensemble.IsolationForest(n_estimators=2, random_state=0).fit(x)))


def test_inspect_counts_trees():
    (row,) = layer_rows(load(FILES["xgb_binary"]))
    assert row["facts"]["trees"] == 6  # the base score is one of a single leaf
    assert row["facts"]["comparisons"] < row["facts"]["splits"] + 1
    assert row["facts"]["depth"] == 3
