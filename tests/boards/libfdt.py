# SPDX-License-Identifier: BSD-2-Clause
"""The host's libfdt (package libfdt-dev brings it), by ctypes. Debian 12's own Python module for it miscounts references."""

import ctypes
import ctypes.util

_LIB = ctypes.CDLL(ctypes.util.find_library("fdt"))
for _name in ("fdt_check_header", "fdt_path_offset_namelen", "fdt_first_subnode", "fdt_next_subnode", "fdt_next_node", "fdt_parent_offset",
              "fdt_node_offset_by_phandle", "fdt_node_offset_by_compatible", "fdt_num_mem_rsv", "fdt_get_path",
              "fdt_get_mem_rsv"):
    getattr(_LIB, _name).restype = ctypes.c_int
_LIB.fdt_getprop.restype = ctypes.c_void_p
_LIB.fdt_get_name.restype = ctypes.c_char_p


class Fdt:
    """A tree. A node is an int, negative for none; a property is bytes, or None."""

    def __init__(self, blob):
        self.blob = ctypes.create_string_buffer(blob, len(blob))
        error = _LIB.fdt_check_header(self.blob)
        assert error == 0, f"libfdt: error {error}"

    def path_offset(self, path):
        return _LIB.fdt_path_offset_namelen(self.blob, path.encode(), len(path))

    def first_subnode(self, node):
        return _LIB.fdt_first_subnode(self.blob, node)

    def next_subnode(self, node):
        return _LIB.fdt_next_subnode(self.blob, node)

    def parent_offset(self, node):
        return _LIB.fdt_parent_offset(self.blob, node)

    def by_phandle(self, phandle):
        return _LIB.fdt_node_offset_by_phandle(self.blob, phandle)

    def by_compatible(self, compatible):
        return _LIB.fdt_node_offset_by_compatible(self.blob, -1, compatible.encode())

    def get_name(self, node):
        return _LIB.fdt_get_name(self.blob, node, None).decode()

    def get_path(self, node):
        path = ctypes.create_string_buffer(4096)
        assert _LIB.fdt_get_path(self.blob, node, path, len(path)) == 0
        return path.value.decode()

    def getprop(self, node, name):
        length = ctypes.c_int()
        at = _LIB.fdt_getprop(self.blob, node, name.encode(), ctypes.byref(length))
        return None if at is None else ctypes.string_at(at, length.value)

    def reservations(self):
        out = []
        for index in range(_LIB.fdt_num_mem_rsv(self.blob)):
            addr, size = ctypes.c_uint64(), ctypes.c_uint64()
            assert _LIB.fdt_get_mem_rsv(self.blob, index, ctypes.byref(addr), ctypes.byref(size)) == 0
            out.append([addr.value, size.value])
        return out
