# SPDX-License-Identifier: BSD-2-Clause
"""A serial port that may be unplugged and come back.

    line = Line("/dev/ttyUSB0", 115200)
    while (data := line.read(0.05)) is not None: ...    # b"": silence; None: the cable is out
    line.back()                                         # True once the port is there again and open

A port that has a name under /dev/serial/by-id is waited for under that name: the adapter may come back as another ttyUSB,
and another adapter may come as this one.
"""

import array
import errno
import fcntl
import glob
import os
import select
import stat
import termios

import serial

from .qemu import UsageError

TCGETS2 = 0x802c542a
SPEEDS = (9, 10)         # words of struct termios2: input, output
SPEED_TOLERANCE = 0.03   # beyond it bytes are misread
LATENCY_MS = 2           # FTDI's adapters begin with 16
WRITE_S = 0.5            # for as long a full port is waited for


class Line:
    def __init__(self, path, baud, dev="/dev", sysfs="/sys"):
        self.path, self.baud, self.sysfs = path, baud, sysfs
        self._port = None
        self.why = None  # the port is there and cannot be opened
        links = sorted(link for link in glob.glob(os.path.join(dev, "serial", "by-id", "*"))
                       if os.path.realpath(link) == os.path.realpath(path))
        self.name = path if path in links or not links else links[0]
        self._open(path)

    def read(self, seconds):
        """Bytes, b"" if none came in this time, None when the port is gone."""
        try:
            if not select.select([self._port.fd], [], [], max(0, seconds))[0]:
                return b""
            data = os.read(self._port.fd, 1 << 16)
        except OSError:
            data = b""
        if data:
            return data
        self.close()
        return None

    def write(self, data):
        """What does not go out, because the cable is out or the port is stuck, is lost: whoever waits for it asks again."""
        try:
            while data and self._port and select.select([], [self._port.fd], [], WRITE_S)[1]:
                data = data[os.write(self._port.fd, data):]
        except OSError:
            pass  # read() says that it is gone

    def back(self):
        try:
            self._open(self.name)
        except UsageError as error:
            self.why = str(error) if os.path.exists(self.name) else None
            return False
        self.why = None
        return True

    def close(self):
        """The name is free for the next plugging in only when nobody holds the port."""
        if self._port:
            try:
                self._port.close()
            except (OSError, serial.SerialException):
                pass  # it is gone
            self._port = None

    def slow(self):
        """The adapter's latency timer in milliseconds when it holds bytes back for longer than need be, and its file."""
        path = os.path.join(self.sysfs, "bus/usb-serial/devices", os.path.basename(os.path.realpath(self.path)),
                            "latency_timer")
        try:
            with open(path, encoding="ascii") as file:
                milliseconds = int(file.read())
        except (OSError, ValueError):
            return None, path  # no such adapter, or one without a timer
        return (milliseconds if milliseconds > LATENCY_MS else None), path

    def _open(self, path):
        check(path)
        try:
            self._port = serial.Serial(path, self.baud, timeout=0, exclusive=True)
            fcntl.ioctl(self._port.fd, termios.TIOCEXCL)  # for programs that do not ask for the lock
        except (ValueError, OverflowError) as error:
            raise UsageError(f"BAUD={self.baud}: not possible on {path}") from error
        except (OSError, termios.error) as error:  # the second: it went while it was being opened
            self.close()
            raise UsageError(_open_error(path, self.baud, error)) from error
        actual = speed(self._port.fd)
        if actual and abs(actual - self.baud) > self.baud * SPEED_TOLERANCE:
            self.close()
            raise UsageError(f"BAUD={self.baud}: not possible on {path}; the nearest it does is {actual}")


def check(path):
    """It is a serial port, and free. Two readers would each get a part of the bytes."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        there = ports()
        raise UsageError(f"PORT={path}: no such port; " +
                         (f"there are: {' '.join(there)}" if there else "no serial port is there at all")) from None
    except OSError as error:
        raise UsageError(f"PORT={path}: {error.strerror}") from error
    if not stat.S_ISCHR(status.st_mode):
        raise UsageError(f"PORT={path}: no serial port, but {'a folder' if stat.S_ISDIR(status.st_mode) else 'a file'}")
    user = who_has(path)
    if user and is_terminal(path):
        raise UsageError(f"PORT={path}: busy, process {user[0]} ({user[1]}) has it open")


def is_terminal(path):
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)


def ports():
    named = sorted(glob.glob("/dev/serial/by-id/*"))
    return named or sorted(glob.glob("/dev/ttyUSB*") + glob.glob("/dev/ttyACM*") + glob.glob("/dev/ttyAMA*"))


def who_has(path):
    """(process, its name) of somebody else who has the port open, as far as we may see that."""
    real = os.path.realpath(path)
    for fd in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            pid = int(fd.split("/")[2])
            if pid != os.getpid() and os.readlink(fd) == real:
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    return pid, file.read().strip()
        except OSError:
            continue  # it has ended, or closed it
    return None


def speed(fd):
    """What the driver made of the speed asked for; None where it does not say."""
    settings = array.array("I", [0] * 64)
    try:
        fcntl.ioctl(fd, TCGETS2, settings)
    except OSError:
        return None
    return settings[SPEEDS[1]] or None


def _open_error(path, baud, error):
    said = next((e.errno for e in (error, error.__cause__, error.__context__) if isinstance(e, OSError) and e.errno), None)
    if said == errno.EACCES:
        return f"PORT={path}: no permission; ports belong to the group dialout: sudo adduser $USER dialout, then log in anew"
    if said in (errno.EBUSY, errno.EAGAIN):
        return f"PORT={path}: busy, another program has it open"
    if said == errno.ENOTTY or "Inappropriate" in str(error):
        return f"PORT={path}: no serial port"
    return f"PORT={path}: cannot be used at {baud} baud: {error}"
