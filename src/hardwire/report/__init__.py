"""The report: one JSON schema (`schema`); terminal, HTML and plots are renderings of it."""
