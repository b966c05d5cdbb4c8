"""One's own training code, with ablate's runs around it."""
