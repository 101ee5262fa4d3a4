//! Boards in QEMU, on a serial port or behind a probe, behind one trait.
