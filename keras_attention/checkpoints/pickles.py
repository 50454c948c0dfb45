"""`pytorch_model.bin` without torch, and without running what a pickle asks for.

Such a file is a pickle of tensors that point into storages. Since torch 1.6 both lie in
a zip archive; before, the pickle came first and the storages behind it, one by one.
"""

import collections
import math
import pickle
import re
import struct
import zipfile

import ml_dtypes
import numpy as np

DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Numbers that a view may repeat, as `expand` makes them, without holding them.
MOST_REPEATED = 10_000_000
# The first two pickles of a file of the older form.
MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class Storage:
    """A run of numbers in the file.

    Args:
        dtype: A NumPy dtype.
        size: How many numbers.
        first: Where the numbers begin that this one sees, for a view of a storage.
    """

    def __init__(self, dtype, size, first=0):
        self.dtype = np.dtype(dtype)
        self.size = size
        self.first = first
        self.read_bytes = None

    def read(self):
        data = self.read_bytes()
        expected = (self.first + self.size) * self.dtype.itemsize
        if len(data) < expected:
            raise ValueError(f"a storage has {len(data)} bytes, expected {expected}")
        return np.frombuffer(data, self.dtype)[self.first : self.first + self.size]


class StoredTensor:
    """A view of a storage. Nothing is read before `read`."""

    def __init__(self, storage, offset, shape, strides):
        whole_numbers = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or not all(
            isinstance(number, int) and number >= 0 for number in whole_numbers
        ):
            raise pickle.UnpicklingError("a tensor is not a view of a storage")
        last = offset + sum(
            (size - 1) * stride for size, stride in zip(shape, strides, strict=True)
        )
        if math.prod(shape) and last >= storage.size:
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        if math.prod(shape) > max(storage.size, MOST_REPEATED):
            raise pickle.UnpicklingError("a tensor has more numbers than its storage")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = tuple(shape), tuple(strides)
        self.dtype = storage.dtype

    def read(self):
        if not math.prod(self.shape):
            return np.empty(self.shape, self.dtype)
        numbers = self.storage.read()[self.offset :]
        strides = [stride * self.dtype.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(
            numbers, self.shape, strides, writeable=False
        )
        return np.array(view, order="C")


class _StorageType:
    """Stands for a class such as `torch.FloatStorage`."""

    def __init__(self, name):
        if name not in DTYPES:
            raise pickle.UnpicklingError(f"storages of the type {name} are not known")
        self.dtype = DTYPES[name]


def _rebuild_tensor(storage, offset, shape, strides, *options):
    return StoredTensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *options):
    return tensor


# All that a pickle may call.
ADMITTED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Reads tensors, numbers, texts and containers, and refuses everything else.

    Args:
        file: A binary file.
        storages: Dict that gets the storages, by their key in the file.
    """

    def __init__(self, file, storages):
        super().__init__(file)
        self.storages = storages

    def find_class(self, module, name):
        if (module, name) in ADMITTED:
            return ADMITTED[module, name]
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return _StorageType(name)
        raise pickle.UnpicklingError(
            f"it asks for {module}.{name}, which is not needed for tensors and could "
            "run any code"
        )

    def persistent_load(self, reference):
        kind, storage_type, key, _, size, *view = reference
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError(f"it refers to {kind!r}, expected a storage")
        storage = Storage(storage_type.dtype, size)
        storage = self.storages.setdefault(str(key), storage)
        if not view or view[0] is None:
            return storage
        _, first, size = view[0]  # older still: a storage that is a view of another
        part = Storage(storage_type.dtype, size, first)
        part.read_bytes = lambda: storage.read_bytes()
        return part


def read_pickle(path):
    """The tensors of a `pytorch_model.bin`, of either form.

    Args:
        path: Name of the file.

    Returns:
        Dict from name to `StoredTensor`, whose `read` gives the array.

    Raises:
        ValueError: The file is damaged, or is no pickle of tensors.
    """
    try:
        is_zip = zipfile.is_zipfile(path)
        tensors = _read_zip(path) if is_zip else _read_older(path)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(
            f"{path} cannot be read: {error or type(error).__name__}. It has "
            f"{path.stat().st_size} bytes. Expected the weights of a PyTorch model: a "
            "copy or a download that was cut short leaves another file, and a pickle "
            "that asks for more than tensors is not loaded. Get it again, or a "
            "model.safetensors."
        ) from error
    return tensors


def _read_zip(path):
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError(f"{len(names)} files data.pkl in it, expected one")
    folder = names[0].removesuffix("data.pkl")
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(
                f"{info.filename} in it is compressed, which torch never does"
            )
    if f"{folder}byteorder" in archive.namelist():
        order = archive.read(f"{folder}byteorder")
        if order != b"little":
            raise ValueError(f"its byte order is {order}, expected little")
    storages = {}
    with archive.open(names[0]) as file:
        tensors = _tensors_of(RestrictedUnpickler(file, storages).load())
    for key, storage in storages.items():
        name = f"{folder}data/{key}"
        size = archive.getinfo(name).file_size  # before anything is loaded
        check_storage(storage, size // storage.dtype.itemsize)
        storage.read_bytes = lambda name=name: _read_member(path, name)
    return tensors


def check_storage(storage, size):
    """Refuses a storage that holds fewer numbers than its tensors were told."""
    if size < storage.size:
        raise ValueError(f"a storage has {size} numbers, expected {storage.size}")


def _read_member(path, name):
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged: {error}. Get it again.") from error


def _read_older(path):
    storages = {}
    with open(path, "rb") as file:
        for expected in (MAGIC, PROTOCOL):
            found = RestrictedUnpickler(file, {}).load()
            if found != expected:
                raise ValueError(f"it begins with {found!r}, expected {expected}")
        system = RestrictedUnpickler(file, {}).load()
        if not system.get("little_endian", True):
            raise ValueError("its byte order is big-endian, expected little-endian")
        tensors = _tensors_of(RestrictedUnpickler(file, storages).load())
        for key in RestrictedUnpickler(file, {}).load():
            (size,) = struct.unpack("<q", file.read(8))
            storage = storages[str(key)]
            check_storage(storage, size)
            start, length = file.tell(), size * storage.dtype.itemsize
            storage.read_bytes = lambda start=start, length=length: _read_part(
                path, start, length
            )
            end = file.seek(0, 2)
            if start + length > end:
                raise ValueError(f"it ends at {end}, expected {start + length}")
            file.seek(start + length)
    lost = [name for name, t in tensors.items() if t.storage.read_bytes is None]
    if lost:
        raise ValueError(f"the numbers of {lost[0]} are not in it")
    return tensors


def _read_part(path, start, length):
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(length)


def _tensors_of(found):
    """The tensors of a state dict, also of one inside a dict, as training saves it."""
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, expected tensors by name")
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found.get(key), dict):
            found = found[key]
    tensors = {k: v for k, v in found.items() if isinstance(v, StoredTensor)}
    if not tensors:
        raise ValueError("there is no tensor in it")
    # What DataParallel and torch.compile put in front.
    wrapped = re.compile(r"^(module\.|_orig_mod\.)+")
    return {wrapped.sub("", name): tensor for name, tensor in tensors.items()}
