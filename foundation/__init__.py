"""What every service stands on: it knows no service, no proto and nobody upstairs."""
