"""trl_rlsp: teach language models to search while they reason."""
