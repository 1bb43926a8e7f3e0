"""A small client library for controllers: raw JSON client, informers, work queues."""
