"""Tree ensembles of ai.onnx.ml against onnxruntime: every mode, transform and shape of scores."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import hardwire as hw
from hardwire.errors import DataError, ModelError, UnsupportedError
from hardwire.frontends import load
from hardwire.network.reference import forward

MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
FEATURES = 3
X = (np.random.default_rng(5).integers(-16, 17, (60, FEATURES)) / 8).astype(np.float32)


def model_of(nodes, outputs, version=3, name="trees"):
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])], outputs
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def floats(name, width=None):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])


def answers(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})


def compare(model, atol=1e-6):
    found = forward(load(model), [X.astype(np.float64)])
    wanted = answers(model)
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        if isinstance(theirs, list):  # ZipMap
            theirs = np.array([list(row.values()) for row in theirs])
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=0, atol=atol)


WEIGHTS = st.integers(-40, 40)


@st.composite
def trees(draw, outputs, weights=WEIGHTS):
    """Attributes of the old operators: nodes and (tree, node, output, weight) rows.

    Every example reaches a leaf of every output: onnxruntime leaves the base value of an output out where it does not.
    """
    vectors = draw(st.booleans())
    modes = MODES
    nodes, ends = [], []
    mode = draw(st.sampled_from(modes))

    def grow(tree, level, counter):
        number = counter[0]
        counter[0] += 1
        if level == 0 or draw(st.integers(0, 4)) == 0:
            nodes.append((tree, number, 0, "LEAF", 0.0, 0, 0))
            chosen = range(outputs) if vectors else [tree % outputs]
            ends.extend((tree, number, at, draw(weights) / 32) for at in chosen)
            return number
        at = len(nodes)
        nodes.append(None)
        kind = draw(st.sampled_from([mode, mode, *modes]))
        yes, no = grow(tree, level - 1, counter), grow(tree, level - 1, counter)
        feature, value = draw(st.integers(0, FEATURES - 1)), draw(st.integers(-18, 18)) / 8
        nodes[at] = (tree, number, feature, kind, value, yes, no)
        return number

    for tree in range(draw(st.integers(1, 3)) * (1 if vectors else outputs)):
        grow(tree, draw(st.integers(0, 3)), [0])
    return nodes, ends


def attributes(nodes, ends, prefix):
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    found = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*nodes, strict=True), strict=True)}
    names = ("treeids", "nodeids", "ids", "weights")
    return found | {
        f"{prefix}_{name}": list(column) for name, column in zip(names, zip(*ends, strict=True), strict=True)
    }


@settings(max_examples=25, deadline=None)
@given(
    st.data(), st.integers(1, 3), st.sampled_from(["SUM", "AVERAGE"]), st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"])
)
def test_regressors(data, targets, how, transform):
    nodes, ends = data.draw(trees(targets))
    transform = "NONE" if targets == 1 else transform
    base = data.draw(st.sampled_from([[], [0.5] * targets]))
    attrs = attributes(nodes, ends, "target")
    if base:
        attrs["base_values"] = base
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=targets,
                            aggregate_function=how, post_transform=transform, **attrs)  # fmt: skip
    compare(model_of([node], [floats("y", targets)]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([2, 3, 4]), st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"]), st.booleans())
def test_classifier_scores(data, classes, transform, zipped):
    nodes, ends = data.draw(trees(classes))
    attrs = attributes(nodes, ends, "class")
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                            classlabels_int64s=list(range(classes)), post_transform=transform, **attrs)  # fmt: skip
    if zipped:
        zip_map = helper.make_node(
            "ZipMap", ["scores"], ["y"], domain="ai.onnx.ml", classlabels_int64s=list(range(classes))
        )
        kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        output = helper.make_value_info("y", helper.make_sequence_type_proto(kind))
        compare(model_of([node, zip_map], [output]))
    else:
        compare(model_of([node], [floats("scores", classes)]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([2, 3]), st.booleans(), st.booleans(), st.booleans())
def test_labels(data, classes, positive, named, based):
    """Two classes of which the leaves know one, as scikit-learn's converter writes them, and three."""
    weights = st.integers(0, 20) if positive else st.integers(-40, 40)
    nodes, ends = data.draw(trees(1 if classes == 2 else classes, weights=weights))
    attrs = attributes(nodes, ends, "class")
    labels = [7, -2, 3][:classes] if named else list(range(classes))
    if based:
        attrs["base_values"] = [0.25] if classes == 2 else [0.25] * classes
    node = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                            classlabels_int64s=labels, post_transform="NONE", **attrs)  # fmt: skip
    cast = helper.make_node("Cast", ["label"], ["which"], to=TensorProto.INT64)
    outputs = [helper.make_tensor_value_info("which", TensorProto.INT64, [None]), floats("scores", classes)]
    model = model_of([node, cast], outputs)
    if classes > 2:  # of equal scores onnxruntime has no fixed rule in parallel sums
        scores = answers(model)[1]
        if np.any(np.sort(scores, axis=1)[:, -1] - np.sort(scores, axis=1)[:, -2] < 1e-6):
            return
    compare(model)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_tree_ensemble_of_version_5(data, targets):
    splits, leaves, roots, members = [], [], [], []

    def grow(level):
        """Reference (split number or leaf number, whether a leaf)."""
        if level == 0 or (level < 3 and data.draw(st.integers(0, 4)) == 0):
            leaves.append((target, data.draw(st.integers(-40, 40)) / 32))
            return len(leaves) - 1, 1
        at = len(splits)
        splits.append(None)
        mode = data.draw(st.integers(0, 6))
        if mode == 6:
            members.extend((at, float(data.draw(st.integers(1, 4)))) for _ in range(data.draw(st.integers(1, 3))))
        yes, no = grow(level - 1), grow(level - 1)
        splits[at] = (data.draw(st.integers(0, FEATURES - 1)), mode, data.draw(st.integers(-18, 18)) / 8, *yes, *no)
        return at, 0

    for tree in range(data.draw(st.integers(1, 2)) * targets):
        target = tree % targets
        roots.append(len(splits))
        grow(3)
    sets = [value for at, split in enumerate(splits) if split[1] == 6
            for value in [*(member for where, member in members if where == at), float("nan")]]  # fmt: skip
    columns = list(zip(*splits, strict=True))

    def tensor(name, kind, values):
        return helper.make_tensor(name, kind, [len(values)], values)

    attrs = {"membership_values": tensor("m", TensorProto.FLOAT, sets)} if sets else {}
    node = helper.make_node(
        "TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", n_targets=targets, tree_roots=roots,
        nodes_featureids=list(columns[0]), nodes_modes=tensor("modes", TensorProto.UINT8, list(columns[1])),
        nodes_splits=tensor("splits", TensorProto.FLOAT, list(columns[2])), nodes_truenodeids=list(columns[3]),
        nodes_trueleafs=list(columns[4]), nodes_falsenodeids=list(columns[5]), nodes_falseleafs=list(columns[6]),
        leaf_targetids=[leaf[0] for leaf in leaves],
        leaf_weights=tensor("weights", TensorProto.FLOAT, [leaf[1] for leaf in leaves]), **attrs,
    )  # fmt: skip
    compare(model_of([node], [floats("y", targets)], version=5))


def simple(**changes):
    attrs = attributes([(0, 0, 1, "BRANCH_LEQ", 0.5, 1, 2), (0, 1, 0, "LEAF", 0.0, 0, 0), (0, 2, 0, "LEAF", 0.0, 0, 0)],
                       [(0, 1, 0, 0.25), (0, 2, 0, -1.0)], "target")  # fmt: skip
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        name="forest",
        domain="ai.onnx.ml",
        **{**attrs, "n_targets": 1, **changes},
    )
    return model_of([node], [floats("y", 1)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"post_transform": "PROBIT", "n_targets": 2}, "'post_transform' = 'PROBIT'"),
        ({"post_transform": "LOGISTIC"}, "'post_transform' = 'LOGISTIC': runtimes do not agree"),
        ({"aggregate_function": "MAX"}, "'aggregate_function' = 'MAX'"),
        ({"nodes_truenodeids": [9, 0, 0]}, "node 9 of tree 0 is missing"),
        ({"nodes_truenodeids": [0, 0, 0]}, "met twice"),
        ({"nodes_featureids": [5, 0, 0]}, "feature 5; the model has 3"),
        ({"target_nodeids": [0, 1]}, "node 0 of tree 0 is no leaf"),
        ({"target_weights": [float("nan"), 1.0]}, "holds NaN"),
        ({"target_weights": [1.0]}, "has 1 entries"),
        ({"target_ids": [0, 4]}, "output 4, of 1"),
        ({"nodes_modes": ["BRANCH_ODD", "LEAF", "LEAF"]}, "'BRANCH_ODD'"),
        ({"unheard": 3}, "'unheard' = 3 is not understood"),
    ],
)
def test_refusals_name_the_layer(changes, message):
    with pytest.raises((ModelError, UnsupportedError), match=f"'forest' .*{message}"):
        load(simple(**changes))


def test_missing_values_are_no_inputs():
    with pytest.raises(DataError, match=r"'forest' .*feature 1 is NaN"):
        forward(load(simple()), [np.array([[0.0, np.nan, 1.0]])])


def test_a_file_compiles_exactly_and_scaled(tmp_path):
    scaler = helper.make_node(
        "Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.5, 0.0, 1.0], scale=[2.0, 1.0, 0.5]
    )
    model = simple()
    model.graph.node[0].input[0] = "s"
    model.graph.node.insert(0, scaler)
    onnx.save(model, tmp_path / "forest.onnx")
    design = hw.compile(tmp_path / "forest.onnx", exact=True, input_type="s6.3")
    np.testing.assert_array_equal(design.predict(X), answers(model)[0])
    assert design.verify(vectors=100)["formal"]["proven"]
