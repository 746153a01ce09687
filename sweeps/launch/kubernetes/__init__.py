"""Workers on Kubernetes: the options of their pods, the manifest of their Job, and the client that applies it."""
