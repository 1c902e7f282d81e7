"""The wire contracts of the three services and the stubs generated from them."""
