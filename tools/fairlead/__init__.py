# SPDX-License-Identifier: BSD-2-Clause
"""Host side of Fairlead: the UART separator, QEMU, and reports."""
