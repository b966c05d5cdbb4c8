"""What follows from a study, computed."""
