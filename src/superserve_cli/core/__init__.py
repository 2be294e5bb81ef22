"""The nouns that every room shares, and the files they are kept in. No torch here."""
