"""One typed client per service: values in and out; nobody else dials."""
