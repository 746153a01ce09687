"""`python -m sweeps` is the `sweeps` command; workers are started this way, whatever the PATH holds."""

from sweeps_command import main

if __name__ == "__main__":
    main()
