"""What may be asked for: the schema, its checks, and how it is composed."""
