"""Passes: one file each, Program or Kernel in, the same meaning out. Their order stands in `pipelines` alone.

Passes over large kernels are compiled with numba and cached, so a million ops take seconds.
"""
