"""What safety's ports are made of: encrypted SQLite, memory, the STOP file."""
