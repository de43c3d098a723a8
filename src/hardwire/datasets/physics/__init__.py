"""From particles to jet features: generator, detector, clustering, grooming, correlators; one step a module.

Everything but `pythia` is numpy and numba and knows no generator; `pythia` alone imports pythia8mc.
"""
