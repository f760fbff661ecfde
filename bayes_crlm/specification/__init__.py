"""The TOML document: grammar, values, problems in words."""
