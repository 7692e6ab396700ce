"""What is kept on disk: directories that go when we go, locks that end, seals that show damage."""
