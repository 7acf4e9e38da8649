"""A file system in user space with one file, `program`: `fuse.py FILE MOUNTPOINT UID`. It shows itself to that user only.

Says `mounted` and answers the kernel (linux/fuse.h) until it is killed.
"""

import ctypes
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 18, 25, 26
ENOENT, ENOSYS = 2, 38
ROOT, PROGRAM = 1, 2

with open(sys.argv[1], "rb") as file:
    content = file.read()
mountpoint, uid = sys.argv[2], int(sys.argv[3])


def attributes(node):
    mode, size = (0o100755, len(content)) if node == PROGRAM else (0o40755, 0)
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, uid, uid, 0, 4096, 0)


def answer(operation, node, body):
    if operation == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 1 << 17, 0, 16, 12, 1 << 17, 1, 0, 0, *[0] * 8)
    if operation == LOOKUP:
        if body.rstrip(b"\0") != b"program":
            return -ENOENT
        return struct.pack("<4Q2I", PROGRAM, 1, 100, 100, 0, 0) + attributes(PROGRAM)
    if operation == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if operation == OPEN:
        return struct.pack("<Q2I", 1, 0, 0)
    if operation == READ:
        _, offset, size = struct.unpack_from("<2QI", body)
        return content[offset : offset + size]
    return b"" if operation in (RELEASE, FLUSH) else -ENOSYS


device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id={uid},group_id={uid}"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"fuse", mountpoint.encode(), b"fuse", 0, options.encode()) != 0:
    raise OSError(ctypes.get_errno(), f"mount {mountpoint}")
print("mounted", flush=True)
while True:
    try:
        request = os.read(device, 1 << 18)
    except OSError:  # unmounted
        break
    _, operation, unique, node = struct.unpack_from("<2I2Q", request)
    if operation == FORGET:
        continue
    said = answer(operation, node, request[40:])
    error, out = (said, b"") if isinstance(said, int) else (0, said)
    os.write(device, struct.pack("<IiQ", 16 + len(out), error, unique) + out)
