"""External tools: one module each, and the only package that starts processes."""
