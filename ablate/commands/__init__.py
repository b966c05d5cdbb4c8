"""What a user may type, a file a command."""
