"""How a step is retried: thin Prefect tasks over `infra`, one module per plane or system."""
