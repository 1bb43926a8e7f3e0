"""The desired state: what an environment file may say, and reading it from git at a commit."""
