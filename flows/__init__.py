"""When, and in what order: one Prefect flow for each thing a person, an API call or a schedule asks for."""

import gc

# A flow run is a process that imports some hundred thousand objects which live as long as it does. Looking for garbage
# among them after every 700 new ones takes a fifth of its start; this still looks often enough for its few seconds.
gc.set_threshold(100_000, 50, 100)
