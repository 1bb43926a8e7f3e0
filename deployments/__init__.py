"""Where and how often: the Prefect server, its worker and its deployments, on one machine or many."""
