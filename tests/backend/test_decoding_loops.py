"""Loops that are compiled read the weights as they are, and leave what they should."""

import keras
import numpy as np
from keras import ops

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.backend.programs import Loop
from keras_attention.backend.programs import Program


def test_a_loop_reads_new_weights():
    """One row times a matrix read across, which PyTorch lays out along in a copy."""
    kernel = keras.Variable(np.array([[0.0, 1.0], [2.0, 0.0]], "float32"))

    def step(number, state, extra, last):
        x = ops.matmul(state["x"], ops.transpose(kernel)) + extra
        return {"x": x, "numbers": state["numbers"] + number}

    loop = Loop(lambda state: ops.all(state["x"] < 100.0), step, [kernel])

    def run(end):
        state = {"x": ops.ones((1, 2)), "numbers": ops.convert_to_tensor(0)}
        number, state = loop(0, end, 9, state, ops.zeros((1, 2)))
        return int(number), to_numpy(state["x"]).tolist(), int(state["numbers"])

    assert run(3) == (3, [[2.0, 4.0]], 3)
    kernel.assign(2.0 * kernel)
    assert run(3) == (3, [[16.0, 32.0]], 3)
    assert run(9)[0] == 5  # 64 and then 256
    assert loop.num_compilations == 1


def test_what_is_written_into_is_computed_anew():
    """The sum is taken before and after the write, in each step."""

    def step(number, state, extra, last):
        before = ops.sum(state["slots"])
        mask = ops.arange(3) <= number
        same = ops.arange(3) <= number
        if BACKEND == "torch":
            slots = state["slots"].add_(1.0)
        else:
            slots = state["slots"] + 1.0
        total = (
            before + ops.sum(slots) + 0.0 * ops.sum(ops.cast(mask & same, "float32"))
        )
        return {"slots": slots, "total": state["total"] + total}

    loop = Loop(lambda state: state["total"] < 1e9, step, [])
    state = {"slots": ops.zeros((2, 2)), "total": ops.zeros(())}
    _, state = loop(0, 2, 2, state, ())
    assert float(state["total"]) == (0 + 4) + (4 + 8)


def test_a_program_is_compiled_for_shapes_not_for_numbers():
    program = Program(
        lambda x, number: {"y": ops.multiply(x, number), "none": None}, []
    )
    for number in (2, 3):
        found = program(ops.ones((2,)), number)
        assert to_numpy(found["y"]).tolist() == [number, number]
        assert found["none"] is None
    program(ops.ones((3,)), 2)
    assert program.num_compilations == (0 if BACKEND == "torch" else 2)
