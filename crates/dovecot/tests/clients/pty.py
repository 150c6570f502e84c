"""Runs a program that wants a terminal: pty.py PROGRAM ARGUMENT..."""
import os
import sys

# Python's module, not this file.
sys.path.pop(0)
import pty

os.environ["TERM"] = "vt100"
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
