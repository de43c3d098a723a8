"""The Network: what the user trained, free of any framework.

`graph` holds the representation, `records` what the frontends hand to the layers' import rules, `prepare` the
rewrites that need no numbers (batch normalisation folded, no-ops dropped).
"""
