"""Entry point of `python -m trl_rlsp` and `accelerate launch -m trl_rlsp`."""

from trl_rlsp.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
