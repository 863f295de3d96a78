"""The record's dispatch: fast path and slow path agree, reference and forced modes, explain, procedures."""

from __future__ import annotations

import inspect
import linecache
import pickle
import threading
import traceback

import numpy as np
import pytest

import pillars
from backends._toys import label_sum, scaled
from pillars.backends import explain, forced_kernels, kernel, operation, procedure, records
from pillars.backends._operation import current_mode, mode
from pillars.probability import cross_entropy


def test_the_fast_path_is_taken_once_the_types_are_known(monkeypatch):
    x = np.ones(3)
    scaled(x)
    scaled(x, x)
    monkeypatch.setattr(
        "pillars.backends._operation.backend_of_call", lambda *_: pytest.fail("the slow path")
    )
    assert scaled(x) == 6.0
    assert scaled(x, x, axis=0, by=3.0, name="a layer") == 12.0


@pytest.mark.parametrize(
    ("args", "options", "expected"),
    [
        (([1.0, 2.0],), {}, 6.0),
        (((1, 2),), {}, 6.0),
        ((range(3),), {}, 6.0),
        ((np.arange(3),), {}, 6.0),
        ((np.asarray([True, False]),), {}, 2.0),
        ((np.ones(2),), {"by": 3}, 6.0),
        ((np.ones(2),), {"by": np.float32(3)}, 6.0),
        ((np.ones(2),), {"by": np.asarray(3.0)}, 6.0),
        ((np.ones(2), [1.0, 1.0]), {}, 6.0),
        ((np.ones(2), 1.0), {}, 6.0),
        ((np.ones((2, 1)),), {"axis": np.int64(0)}, 4.0),
        ((np.ones(2),), {"after": np.negative}, -4.0),
    ],
)
def test_the_slow_path_gives_what_the_fast_one_would(args, options, expected):
    assert np.all(scaled(*args, **options) == expected)


def test_numpy_scalars_do_not_turn_float32_into_float64():
    x = np.ones(3, np.float32)
    for by in (2, 2.0, np.float64(2), np.asarray(2.0)):
        assert scaled(x, by=by).dtype == np.float32
    assert scaled(x, np.float64(1)).dtype == np.float32
    assert scaled(x, np.asarray(1.0)).dtype == np.float64  # an array, which has a dtype of its own
    assert scaled(x, 1.0).dtype == np.float32
    assert scaled(x, [1.0, 1.0, 1.0]).dtype == np.float32


def test_scalars_stay_arrays():
    assert type(scaled(np.ones(3))) is np.ndarray
    assert scaled(np.ones(3)).shape == ()


def test_labels_keep_their_dtype():
    assert label_sum(np.ones(3), np.asarray([0, 1, 2], np.uint8)) == 2.0
    assert label_sum(np.ones(3), [0, 1, 2]) == 2.0
    assert label_sum(np.ones(3, np.float32), np.asarray([0, 1, 2])).dtype == np.float32


def test_it_is_a_function():
    assert inspect.isfunction(scaled)
    own = inspect.signature(scaled, follow_wrapped=False)
    bare = [p.replace(annotation=p.empty) for p in own.parameters.values()]
    assert str(inspect.Signature(bare)) == "(x, y=None, /, *, axis=-1, by=2.0, after=None, name=None)"
    assert own == inspect.signature(scaled.record.body)
    assert pickle.loads(pickle.dumps(pillars.softmax)) is pillars.softmax
    assert scaled.__doc__.startswith("x·by + y")
    with pytest.raises(TypeError, match="unexpected keyword"):
        scaled(np.ones(3), along=0)
    with pytest.raises(TypeError):
        scaled(x=np.ones(3))


def test_tracebacks_show_the_generated_source():
    try:
        scaled(np.ones(()))
    except pillars.ShapeError as error:
        text = "".join(traceback.format_exception(error))
    assert "_slow(_record" in text or "_entry(x" in text
    assert linecache.getline("<operation _toys.scaled>", 2).lstrip().startswith("def scaled(")


def test_the_check_sees_the_name():
    with pytest.raises(pillars.ShapeError, match=r"scaled 'encoder\.2'"):
        scaled(np.ones(()), name="encoder.2")


def test_reference_mode_reaches_nested_operations_and_ends():
    seen = []

    @operation(domain=scaled.record.domain)
    def outer(x: pillars._typing.Array, /) -> pillars._typing.Array:
        """Calls another one."""
        seen.append(current_mode())
        return scaled(x)

    try:
        outer.reference(np.ones(3))
        outer(np.ones(3))
        assert seen == ["reference", "auto"]
    finally:
        pillars.backends._record._records.pop(outer.record.name)


def test_a_mode_is_this_thread_s_alone():
    seen = []
    with mode("reference"):
        thread = threading.Thread(target=lambda: seen.append((current_mode(), float(scaled(np.ones(3))))))
        thread.start()
        thread.join()
    assert seen == [("auto", 6.0)]


@pytest.fixture
def doubled():
    """`scaled` with a kernel on NumPy that says so by another answer."""

    def eligible(x, y=None, /, *, axis, by, after):
        return "axis is 0" if axis == 0 else None

    @kernel(minimum_size=4, eligible=eligible)
    def fast(x, y=None, /, *, axis, by, after):
        return np.asarray(-1.0)

    record = scaled.record
    before = dict(record.cache)
    record.entries.clear()
    record.cache["kernel", "numpy"] = fast
    yield
    record.entries.clear()
    record.cache.clear()
    record.cache.update(before)


@pytest.mark.usefixtures("doubled")
def test_kernels_run_where_they_are_eligible_and_large_enough():
    assert scaled(np.ones(4)) == -1.0
    assert scaled(np.ones(3)) == 6.0
    assert scaled(np.ones(4), axis=0) == 8.0
    assert scaled.reference(np.ones(4)) == 8.0
    with forced_kernels():
        assert scaled(np.ones(3)) == -1.0
        assert scaled(np.ones(3), axis=0) == 6.0


@pytest.mark.usefixtures("doubled")
def test_explain_says_which_and_why():
    found = explain(scaled, np.ones(4))
    assert (found.kernel.rpartition(":")[2], found.alternatives) == ("fast", ("body", "fast"))
    assert "eligible" in found.reason
    small = explain(scaled, np.ones(3))
    assert small.kernel == "body"
    assert "3 elements are fewer than the 4" in small.reason
    assert "axis is 0" in explain(scaled, np.ones(4), axis=0).reason


def test_explain_refuses_what_is_no_operation():
    with pytest.raises(pillars.DTypeError, match=r"explain: .* expected an operation"):
        explain(np.exp, 1.0)


def test_explain_takes_what_the_call_takes_and_refuses_what_it_refuses():
    a = np.ones((3, 3))
    assert explain(pillars.linear, a, a, activation=np.tanh) == explain(pillars.linear, a, a)
    assert pillars.linear(a, a, activation=np.tanh)[0, 0] == np.tanh(3.0)
    arrays = [a]
    if "jax" in pillars.available() and pillars.available()["jax"].usable:
        arrays.append(pillars.move(a.astype(np.float32), "jax"))
    for x in arrays:
        for f, given, options in (
            (pillars.softmax, (x,), {"axis": 7}),
            (pillars.linear, (x, x[:2]), {}),
            (pillars.linear, (x, x), {"activation": "tanhh"}),
            (pillars.softmax, (x + 1j,), {}),
            (pillars.softmax, (x,), {"axis": "rows"}),
        ):
            with pytest.raises(pillars.PillarsError) as called:
                f(*given, **options)
            with pytest.raises(type(called.value)) as explained:
                explain(f, *given, **options)
            assert str(explained.value) == str(called.value)
    labels = np.array([0, 5, 1])
    with pytest.raises(pillars.PillarsError) as called:
        cross_entropy(a, labels)
    with pytest.raises(type(called.value)) as explained:
        explain(cross_entropy, a, labels)
    assert str(explained.value) == str(called.value)


def test_explain_on_jax():
    jnp = pytest.importorskip("jax.numpy")
    assert "jitted once" in explain(scaled, jnp.ones(3)).reason


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("x: Array", "positional-only"),
        ("x: Array, /, *, f: Callable", "annotated"),
        ("x, /", "annotated None"),
    ],
)
def test_a_record_refuses_parameters_without_a_kind(signature, words):
    scope = {"__name__": "made"}
    exec(  # noqa: S102 - parameters that no file could hold and still be checked
        "from collections.abc import Callable\nfrom pillars._typing import Array\n"
        f"def body({signature}) -> Array:\n    return x\n",
        scope,
    )
    with pytest.raises(TypeError, match=words):
        operation(domain=scaled.record.domain)(scope["body"])


def test_a_procedure_is_returned_as_it_is():
    def run(f, /):
        """Call it."""
        return f()

    made = procedure()(run)
    pillars.backends._record._records.pop(made.record.name)
    assert made is run
    assert (made.record.kind, made(lambda: 3)) == ("procedure", 3)


def test_rules_registered_late_are_seen():
    @operation(domain=scaled.record.domain)
    def late(x: pillars._typing.Array, /) -> pillars._typing.Array:
        """Itself, and a little."""
        return x + 1

    pillars.backends._record._records.pop(late.record.name)
    late(np.ones(2))

    @late.check
    def _(x, /):
        raise pillars.ShapeError("late: no.")

    with pytest.raises(pillars.ShapeError, match="late: no"):
        late(np.ones(2))


def test_records_are_listed_by_room_and_name():
    names = list(records())
    assert names == sorted(names)
    assert records()["probability.softmax"].function is pillars.softmax
