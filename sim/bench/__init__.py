"""The one cocotb bench that serves RTL of every origin, in roles: driver, monitor, model, checker.

It runs inside the simulator's process, where the module `sim.bench.tests` is loaded; :mod:`sim.cosim` starts it.
"""
