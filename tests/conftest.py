"""What every test starts from: one seed, float32, a quiet backend, few threads."""

import os
import pathlib

# Before any backend is imported: no chatter in the logs, and no more threads than
# one test process may use. Fresh processes started by tests inherit both.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
for name in (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(name, THREADS)

# Tiny models spend their time in the compiler. Without its slow passes, and with what
# it compiled kept for the next test and the next run, the JAX tests take a third; with
# its older and simpler way to fuse operations, a fifth.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false",
)
CACHE = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

SEED = 1234


def pytest_report_header(config):
    """Names the backend at the top of each run."""
    return f"keras {keras.__version__}, backend {keras.backend.backend()}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Where shapes are compiled, what compiles much is slow."""
    if keras.backend.backend() == "torch":
        return
    for item in items:
        # A row of the table of layers; that it can be compiled is always asked.
        row = getattr(item, "callspec", None) and item.callspec.params.get("row")
        compiles_much = getattr(row, "compiles_much", False)
        if item.path.stem == "test_conformance_compiled":
            compiles_much = False
        if compiles_much or item.get_closest_marker("compiles_much"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def fresh_state():
    """Each test draws the same numbers, and leaves no global setting behind."""
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")


@pytest.fixture(autouse=True, scope="module")
def fresh_session():
    """Each test file starts without the layers of the one before.

    Not each test: `clear_session` collects garbage, 0.2 to 0.4 seconds a call.
    """
    keras.utils.clear_session()


@pytest.fixture
def rng():
    """A NumPy generator that starts the same in each test."""
    return np.random.default_rng(SEED)
