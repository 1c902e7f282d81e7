"""The three services, which meet only through `protos/` and `clients/`."""
