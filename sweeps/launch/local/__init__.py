"""Workers on this machine: their processes, the devices that they get, and the supervisor that keeps them running."""
