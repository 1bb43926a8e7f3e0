"""When, and in what order: one Prefect flow for each thing a person, an API call or a schedule asks for."""
