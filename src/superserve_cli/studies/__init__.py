"""What can be said about policies beyond a single run: how far from the best possible they are, and how much they carry."""
